//! Making a guest: one step that creates it stopped, one for what may not be sent with it, one that starts it.

use std::collections::BTreeSet;

use super::super::draft::{Draft, Phase, Planner};
use super::super::error::Reason;
use super::super::input::Item;
use super::super::values::{Decision, Secrets, decide};
use super::super::words;
use super::closed;
use crate::document::desired::{DesiredGuest, Power, Value, Wish};
use crate::ids::{GuestKind, NodeName, Vmid, VolumeId};
use crate::proxmox::property::{Domain, boolean};
use crate::proxmox::schema::root_only;
use crate::world::{Action, Param, Params, PowerAction};

impl Planner<'_, '_> {
    /// Makes a guest that does not exist.
    pub(super) fn create(&mut self, item: &Item, desired: &DesiredGuest, vmid: Vmid) {
        let Some(node) = self.place(item, desired) else {
            return;
        };
        if !self.node_usable(&item.key, &node) {
            return;
        }
        let object = format!("{}/{vmid}", desired.kind.word());
        let place = format!("made on {node}");
        self.drafts
            .change(&object, "(object)", None, Some(&place), "the guest is made");
        let (mut params, later) = self.create_params(item, desired, &object);
        if let Some(Param::Plain(template)) = params.get("ostemplate")
            && let Ok(template) = template.parse::<VolumeId>()
        {
            self.template_there(&item.key, &template, &node);
        }
        for (slot, wish) in &desired.disks {
            if let Wish::Set(disk) = wish
                && let Some(value) =
                    self.new_disk_value(&item.key, desired.kind, slot, disk, &node, Some(vmid))
            {
                self.drafts.change(
                    &object,
                    slot.as_str(),
                    None,
                    Some(&value),
                    "made with the guest",
                );
                params.insert(slot.to_string(), Param::Plain(value));
            }
        }
        let grows: Vec<Draft> = desired
            .disks
            .iter()
            .filter_map(|(slot, wish)| match wish {
                Wish::Set(disk) => {
                    let growth = self.import_growth(&item.key, slot, disk, &node)?;
                    Some(super::reshape::growth(
                        desired.kind,
                        vmid,
                        slot,
                        growth,
                        &node,
                    ))
                }
                Wish::Remove => None,
            })
            .collect();
        let name_key = match desired.kind {
            GuestKind::Qemu => "name",
            GuestKind::Lxc => "hostname",
        };
        params
            .entry(name_key.to_owned())
            .or_insert_with(|| Param::Plain(desired.name_on_create.clone()));
        let name = params.get(name_key).map(super::super::values::shown);
        let privileged = desired.kind == GuestKind::Lxc
            && matches!(params.get("unprivileged"), Some(Param::Plain(text)) if boolean(text) == Some(false));
        self.create_steps(
            item,
            desired,
            vmid,
            node,
            params,
            (later, grows),
            name,
            privileged,
        );
    }

    /// The node a new guest is made on: the one its document names, or the only one there is.
    fn place(&mut self, item: &Item, desired: &DesiredGuest) -> Option<NodeName> {
        if let Some(node) = &desired.node {
            return Some(node.clone());
        }
        let mut nodes = self.input.world.nodes.keys();
        match (nodes.next(), nodes.next()) {
            (Some(only), None) => Some(only.clone()),
            (None, _) | (Some(_), Some(_)) => {
                let why =
                    "the guest does not exist yet, and the document does not say on which `node` to make it".to_owned();
                self.drafts
                    .problem(&item.key, "node", Reason::Ambiguous { why });
                None
            }
        }
    }

    /// The parameters of the creation, and those that are sent after it: a cloud-init password would lie in clear in the
    /// configuration if it came with the creation (Proxmox VE 9: only the update hashes it).
    fn create_params(
        &mut self,
        item: &Item,
        desired: &DesiredGuest,
        object: &str,
    ) -> (Params, Params) {
        let domain = Domain::from(desired.kind);
        let (mut params, mut later) = (Params::new(), Params::new());
        // A container is unprivileged unless its creation says otherwise.
        let unprivileged = match desired.create_only.get("unprivileged") {
            Some(Value::Plain(flag)) => flag,
            _ => "1",
        };
        let create_only = desired
            .create_only
            .iter()
            .map(|(key, value)| (key, Wish::Set(value.clone()), true));
        let options = desired
            .options
            .iter()
            .map(|(key, wish)| (key, wish.clone(), false));
        for (key, wish, only) in options.chain(create_only) {
            let secrets = Secrets {
                now: self.input.secrets,
                sent: None,
            };
            let decision = match (&wish, only) {
                // Parameters of the creation are in no table of configuration keys.
                (Wish::Set(Value::Plain(text)), true) => Ok(Decision::Set {
                    param: Param::Plain(text.clone()),
                    shown: text.clone(),
                }),
                _ => decide(domain, key, None, &wish, secrets),
            };
            let (param, shown) = match decision {
                Ok(Decision::Set { param, shown }) => (param, shown),
                Ok(Decision::Same | Decision::Delete) => continue,
                Err(reason) => {
                    self.drafts.problem(&item.key, key, reason);
                    continue;
                }
            };
            if !only
                && (root_only(desired.kind, key, None, Some(&shown)).is_some()
                    || closed(desired.kind, key, unprivileged))
            {
                let key = key.clone();
                self.drafts
                    .problem(&item.key, &key.clone(), Reason::RootOnly { key });
                continue;
            }
            self.drafts
                .change(object, key, None, Some(&shown), "made with the guest");
            let secret_of_vm =
                desired.kind == GuestKind::Qemu && matches!(param, Param::Secret { .. });
            if secret_of_vm {
                later.insert(key.clone(), param);
            } else {
                params.insert(key.clone(), param);
            }
        }
        (params, later)
    }

    #[allow(clippy::too_many_arguments)] // the parts of one creation, used nowhere else
    fn create_steps(
        &mut self,
        item: &Item,
        desired: &DesiredGuest,
        vmid: Vmid,
        node: NodeName,
        params: Params,
        (later, grows): (Params, Vec<Draft>),
        name: Option<String>,
        privileged: bool,
    ) {
        let kind = desired.kind;
        let object = format!("{}/{vmid}", kind.word());
        let pool = match &desired.pool {
            Some(Wish::Set(pool)) => Some(pool.clone()),
            Some(Wish::Remove) | None => None,
        };
        let name = name
            .map(|name| format!(" {}", words::short(&name)))
            .unwrap_or_default();
        let mut notes = Vec::new();
        if privileged {
            notes.push("a privileged container: root inside it is root on the node".to_owned());
        }
        let action = Action::CreateGuest {
            kind,
            vmid,
            node: node.clone(),
            pool,
            params,
        };
        let needs = super::super::finish::storages_of(&action)
            .iter()
            .filter_map(|storage| self.drafts.opened.get(storage).copied())
            .collect();
        let mut last = self.drafts.push(Draft {
            title: format!("create {object}{name} on {node}"),
            action,
            node: Some(node.clone()),
            phase: Phase::Guest,
            needs,
            notes,
        });
        if !later.is_empty() {
            let keys: Vec<String> = later.keys().cloned().collect();
            last = self.drafts.push(Draft {
                title: format!("set {object} {}", words::few(&keys)),
                action: Action::UpdateConfig {
                    kind,
                    vmid,
                    set: later,
                    delete: BTreeSet::new(),
                },
                node: Some(node.clone()),
                phase: Phase::Guest,
                needs: BTreeSet::from([last]),
                notes: Vec::new(),
            });
        }
        for mut grow in grows {
            grow.needs.insert(last);
            last = self.drafts.push(grow);
        }
        if desired.template == Some(true) {
            let mut draft = super::template::conversion(kind, vmid, &node);
            self.drafts.change(
                &object,
                "isTemplate",
                None,
                Some("true"),
                super::template::EFFECT,
            );
            draft.needs.insert(last);
            last = self.drafts.push(draft);
        }
        if desired.power == Some(Power::Running) && desired.template == Some(true) {
            self.drafts
                .problem(&item.key, "powerState", Reason::TemplatePower { object });
        } else if desired.power == Some(Power::Running) {
            self.drafts.push(Draft {
                title: format!("start {object}"),
                action: Action::SetPower {
                    kind,
                    vmid,
                    power: PowerAction::Start,
                },
                node: Some(node),
                phase: Phase::Power,
                needs: BTreeSet::from([last]),
                notes: Vec::new(),
            });
        }
    }
}
