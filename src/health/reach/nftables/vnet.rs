//! The rules on vnets.

use std::collections::BTreeMap;

use super::super::chain::{Chain, Origin, Then, When};
use super::super::compile::{VnetRules, nics_of, unknown};
use super::super::model::{Known, VnetFirewall};
use super::super::rule::{Action, Environment};
use super::host::doubtful;
use super::{Direction, List, Place, Rules, Site, Table, read};

/// A vnet whose firewall is on, with its rules.
pub(super) struct Vnet<'a> {
    name: &'a str,
    firewall: &'a VnetFirewall,
    rules: Rules,
}

/// Reads the firewall of every vnet, also where it is off; those where it is on.
pub(super) fn read_all<'a>(place: &Place<'a>) -> Result<Vec<Vnet<'a>>, String> {
    let mut all = Vec::new();
    let Known::Read(vnets) = &place.model.vnets else {
        return Ok(all);
    };
    for (name, firewall) in vnets {
        let Known::Read(firewall) = firewall else {
            continue;
        };
        let rules = read(&firewall.rules, Environment::Vnet, |position| {
            Origin::Rule(List::Vnet, position)
        })
        .map_err(|why| format!("vnet {name}: {why}"))?;
        if firewall.enable {
            all.push(Vnet {
                name,
                firewall,
                rules,
            });
        }
    }
    Ok(all)
}

impl Site<'_> {
    /// The rules on every vnet that has some, and on those of which nobody knows whether they have.
    pub(super) fn vnets(&self, vnets: &[Vnet<'_>]) -> Result<BTreeMap<String, VnetRules>, String> {
        let at_node = self.place.host.enable != Some(false);
        let mut all = BTreeMap::new();
        let mut put = |name: &str, chain: Chain| {
            let condition = "if this is bridged there and not routed";
            let perhaps = doubtful(&chain, condition);
            let rules = VnetRules {
                perhaps: perhaps.unwrap_or_default(),
                bridged: chain,
                at_node,
            };
            all.insert(name.to_owned(), rules);
        };
        match &self.place.model.vnets {
            Known::Unread(why) => {
                let nics = nics_of(self.place.model, self.place.name);
                let bridges = nics.map(|(_, _, nic)| nic.bridge.as_str());
                for bridge in bridges.filter(|bridge| !bridge.starts_with("vmbr")) {
                    put(bridge, unknown(&format!("the firewall of {bridge}: {why}")));
                }
            }
            Known::Read(read) => {
                for (name, firewall) in read {
                    if let Known::Unread(why) = firewall {
                        put(
                            name,
                            unknown(&format!("the firewall of vnet {name}: {why}")),
                        );
                    }
                }
            }
        }
        for vnet in vnets {
            let chain = self
                .vnet(vnet)
                .map_err(|why| format!("vnet {}: {why}", vnet.name))?;
            put(vnet.name, chain);
        }
        Ok(all)
    }

    fn vnet(&self, vnet: &Vnet<'_>) -> Result<Chain, String> {
        let mut chain = Chain::default();
        self.invalid(&mut chain);
        let origin = |position| Origin::Rule(List::Vnet, position);
        let way = (Direction::Forward, Table::Guests);
        self.list(&mut chain, &vnet.rules, &self.lookup(), way, &origin)?;
        match vnet.firewall.policy_forward {
            // Nothing needs to be said of what passes by itself.
            None | Some(Action::Accept) => {}
            Some(policy) => {
                let origin = Origin::Policy {
                    of: List::Vnet,
                    policy,
                    default: false,
                };
                chain.push(When::default(), Then::Drop, origin);
            }
        }
        Ok(chain)
    }
}
