//! Reading which vnets run. Proxmox VE hides in silence those on which the token may do nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::super::Observation;
use super::super::reads::Reads;
use super::answers::{list, said};
use crate::ids::VnetName;
use crate::proxmox::Call;
use crate::world::firewall::{Scope, Seen, VnetScope};

impl Observation<'_> {
    /// Reads which vnets run.
    pub(in crate::world) async fn vnets(&mut self) {
        let reads = self.reads.clone();
        let listed = vnets(&reads).await;
        self.vnets_listed(listed);
    }

    /// Keeps what is known of those that are still there.
    pub(super) fn vnets_listed(&mut self, listed: Seen<BTreeMap<VnetName, String>>) {
        let seen = self
            .sight
            .below("/sdn/zones", &["SDN.Audit", "SDN.Allocate"]);
        let vnets = &mut self.world.firewalls.vnets;
        match seen.and(listed) {
            Err(why) => {
                if vnets.as_ref().err() != Some(&why) {
                    *vnets = Err(why);
                }
            }
            Ok(listed) => {
                let same = vnets.as_ref().is_ok_and(|known| {
                    let known = known.iter().map(|(name, vnet)| (name, &vnet.zone));
                    known.eq(&listed)
                });
                if same {
                    return;
                }
                let kept = |(name, zone): (VnetName, String)| {
                    let known = vnets.as_ref().ok().and_then(|known| known.get(&name));
                    let known = known.filter(|known| known.zone == zone).cloned();
                    let new = || {
                        let firewall = Err("it was not read yet".to_owned());
                        Arc::new(VnetScope { zone, firewall })
                    };
                    (name, known.unwrap_or_else(new))
                };
                let now = listed.into_iter().map(kept).collect();
                *vnets = Ok(now);
            }
        }
    }

    /// Puts a vnet's firewall in its place.
    pub(super) fn vnet_read(&mut self, name: &VnetName, scope: Seen<Scope>) {
        let Ok(vnets) = &mut self.world.firewalls.vnets else {
            return;
        };
        let same = vnets
            .get(name)
            .is_none_or(|vnet| match (&vnet.firewall, &scope) {
                (Ok(known), Ok(now)) => **known == *now,
                (Err(known), Err(now)) => known == now,
                _ => false,
            });
        if !same && let Some(vnet) = vnets.get_mut(name) {
            Arc::make_mut(vnet).firewall = scope.map(Arc::new);
        }
    }
}

/// The vnets that run, with their zones. What is only configured has no firewall.
pub(super) async fn vnets(reads: &Reads) -> Seen<BTreeMap<VnetName, String>> {
    let call = Call::get(["cluster", "sdn", "vnets"]).param("running", "1");
    let answer = reads.data(call).await;
    vnets_of(&answer.map_err(|error| error.to_string())?)
}

fn vnets_of(data: &Value) -> Seen<BTreeMap<VnetName, String>> {
    let named = |item: &Value| {
        let name = said(item, "vnet")?;
        let name = VnetName::new(name).map_err(|error| error.to_string())?;
        Ok((name, said(item, "zone")?))
    };
    list(data, "vnets")?.map(named).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_vnet_has_a_name_and_a_zone_or_the_list_is_unread() {
        let read = vnets_of(&json!([{"vnet": "web", "zone": "z1", "tag": 7}])).unwrap();
        let web = VnetName::new("web").unwrap();
        assert_eq!(read, BTreeMap::from([(web, "z1".to_owned())]));
        assert!(vnets_of(&json!([{"vnet": "web"}])).is_err());
        assert!(vnets_of(&json!([{"vnet": "too-long-a-name", "zone": "z1"}])).is_err());
        assert!(vnets_of(&Value::Null).is_err());
    }
}
