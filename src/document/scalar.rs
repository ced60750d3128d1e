//! The single values of documents: sizes, addresses, names. Each has a named format, one function that checks and canonicalises it, and
//! a sentence that says what was expected; the JSON Schema, the validator and the types all use the same.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::desired::{SecretRef, Value};
use super::options::ToValue;
use super::size::{parse_memory, parse_size, print_size};
use super::slots::{SLOT_FAMILIES, is_slot, slot_names};
use crate::ids::{
    AclPath, BackupJobId, ClusterName, GroupId, NodeName, PoolId, RealmId, ReplicationJobId,
    RoleId, Slot, SnapshotName, StorageId, TokenId, UserId, Vmid, VnetName, VolumeId,
};
use crate::proxmox::firewall;

/// The canonical form of a text, or what was expected instead.
pub type Checked = Result<String, String>;

/// A format of the JSON Schema: its name and its check.
pub struct Format {
    /// The name, as in the schema's `format`.
    pub name: &'static str,
    /// Checks a text and gives its canonical form, or what was expected.
    pub check: fn(&str) -> Checked,
}

/// Checks a text against a named format. `None` if no such format exists.
pub fn check(format: &str, text: &str) -> Option<Checked> {
    if let Some(known) = FORMATS.iter().find(|known| known.name == format) {
        return Some((known.check)(text));
    }
    let (_, prefixes) = SLOT_FAMILIES.iter().find(|(name, _)| *name == format)?;
    Some(keep(text, is_slot(prefixes, text), || {
        format!("a slot: {}", slot_names(prefixes))
    }))
}

fn keep(text: &str, valid: bool, expected: impl FnOnce() -> String) -> Checked {
    if valid {
        Ok(text.to_owned())
    } else {
        Err(expected())
    }
}

fn id<T: FromStr<Err = crate::ids::InvalidId>>(text: &str) -> Checked {
    match text.parse::<T>() {
        Ok(_) => Ok(text.to_owned()),
        Err(invalid) => Err(invalid.expected.to_owned()),
    }
}

/// Declares text types with a format each, and the table of all formats.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident, $format:literal, $check:expr;)*; $($other:literal, $other_check:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
            #[serde(transparent)]
            pub struct $name(String);

            impl $name {
                /// The value in its canonical form, or what was expected.
                pub fn new(text: &str) -> Result<Self, String> {
                    let check: fn(&str) -> Checked = $check;
                    check(text).map(Self)
                }

                /// The canonical text.
                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let text = String::deserialize(deserializer)?;
                    Self::new(&text).map_err(|expected| {
                        serde::de::Error::custom(format!("`{text}` is not {expected}"))
                    })
                }
            }

            impl ToValue for $name {
                fn to_value(&self) -> Value {
                    Value::Plain(self.0.clone())
                }
            }

            impl JsonSchema for $name {
                fn inline_schema() -> bool { true }
                fn schema_name() -> Cow<'static, str> { stringify!($name).into() }
                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({"type": "string", "format": $format})
                }
            }
        )*

        /// Every format but the slots.
        pub const FORMATS: &[Format] = &[
            $(Format { name: $format, check: $check },)*
            $(Format { name: $other, check: $other_check },)*
        ];
    };
}

texts! {
    /// A host name (Proxmox VE: `dns-name`).
    DnsName, "dns-name", |t| keep(t, is_dns_name(t), || "a host name: letters, digits and `-`, parts joined by `.`, each beginning and ending with a letter or digit, at most 63 characters each".to_owned());
    /// A MAC address; upper case is canonical, multicast addresses are refused.
    MacAddress, "mac-address", mac;
    /// A bridge or SDN vnet.
    BridgeName, "bridge", |t| keep(t, !t.is_empty() && t.len() <= 15 && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), || "the name of a bridge or vnet, such as `vmbr0`: letters, digits, `-`, `_` and `.`, at most 15 characters".to_owned());
    /// A VLAN or a range of VLANs.
    VlanRange, "vlan-range", |t| keep(t, is_range(t, 1, 4094), || "a VLAN from 1 to 4094 or a range such as `100-120`".to_owned());
    /// A range of CPUs or NUMA nodes.
    CpuRange, "cpu-range", |t| keep(t, is_range(t, 0, 8191), || "a number or a range such as `0-3`".to_owned());
    /// A CPU flag with its sign.
    CpuFlag, "cpu-flag", |t| keep(t, t.strip_prefix(['+', '-']).is_some_and(|f| is_word(f, b"-_.")), || "a CPU flag with a sign, such as `+aes` or `-pcid`".to_owned());
    /// A CPU type.
    CpuType, "cpu-type", |t| keep(t, is_word(t, b"-_."), || "a CPU type, such as `host`, `x86-64-v2-AES` or `custom-NAME`".to_owned());
    /// The number of physical address bits.
    PhysBits, "phys-bits", |t| keep(t, t == "host" || t.parse::<u32>().is_ok_and(|n| (8..=64).contains(&n) && n.to_string() == t), || "`host` or a number from 8 to 64, in quotes".to_owned());
    /// A short word, as a hypervisor's vendor id.
    VendorId, "vendor-id", |t| keep(t, (1..=12).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric()), || "1 to 12 letters and digits".to_owned());
    /// A QEMU machine type.
    MachineType, "machine-type", |t| keep(t, is_machine(t), || "a machine type: `pc`, `q35`, `virt` or a versioned one such as `pc-q35-9.2+pve1`".to_owned());
    /// The name of a cluster-wide resource mapping (Proxmox VE: `pve-configid`).
    MappingId, "mapping-id", |t| keep(t, t.len() >= 2 && t.starts_with(|c: char| c.is_ascii_alphabetic()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), || "the name of a resource mapping: a letter, then letters, digits, `-` and `_`".to_owned());
    /// Four hexadecimal digits.
    HexId, "pci-id", |t| keep(&t.to_ascii_lowercase(), t.strip_prefix("0x").is_some_and(|h| h.len() == 4 && h.bytes().all(|b| b.is_ascii_hexdigit())), || "a PCI id such as `0x1af4`".to_owned());
    /// A worldwide name.
    Wwn, "wwn", |t| keep(&t.to_ascii_lowercase(), t.strip_prefix("0x").is_some_and(|h| h.len() == 16 && h.bytes().all(|b| b.is_ascii_hexdigit())), || "`0x` and 16 hexadecimal digits".to_owned());
    /// A SCSI vendor, at most 8 characters.
    ScsiVendor, "scsi-vendor", |t| keep(t, scsi_name(t, 8), || "at most 8 letters, digits, `-`, `_` and blanks".to_owned());
    /// A SCSI product, at most 16 characters.
    ScsiProduct, "scsi-product", |t| keep(t, scsi_name(t, 16), || "at most 16 letters, digits, `-`, `_` and blanks".to_owned());
    /// A date to start the guest's clock at.
    StartDate, "start-date", |t| keep(t, is_start_date(t), || "`now`, a date `2026-11-22` or a time `2026-11-22T16:58:00`".to_owned());
    /// A tag, as written; whether case counts is a setting of the data centre, so comparing is the planner's.
    Tag, "tag", |t| keep(t, !t.is_empty() && t.bytes().enumerate().all(|(i, b)| b.is_ascii_alphanumeric() || b == b'_' || (i > 0 && b"-+.".contains(&b))), || "a tag: letters, digits, `_`, and after the first character `-`, `+`, `.`".to_owned());
    /// How long something is kept.
    Age, "age", |t| keep(t, age(t).is_some(), || "a number of minutes, hours, days or weeks from 1 minute to 520 weeks, such as `90m`, `12h`, `14d` or `8w`".to_owned());
    /// Text of several lines. Trailing white space is dropped, as Proxmox VE drops it.
    Description, "text", |t| keep(t.trim_end(), t.chars().count() <= 8192, || "at most 8192 characters".to_owned());
    /// An address of a name server.
    IpAddress, "ip-address", |t| t.parse::<IpAddr>().map(|ip| ip.to_string()).map_err(|_| "an IP address".to_owned());
    /// An IPv4 address.
    Ipv4Address, "ipv4-address", |t| t.parse::<Ipv4Addr>().map(|ip| ip.to_string()).map_err(|_| "an IPv4 address".to_owned());
    /// An IPv6 address.
    Ipv6Address, "ipv6-address", |t| t.parse::<Ipv6Addr>().map(|ip| ip.to_string()).map_err(|_| "an IPv6 address".to_owned());
    /// How an interface gets its IPv4 address.
    Ipv4Config, "ipv4-config", |t| match t { "dhcp" | "manual" => Ok(t.to_owned()), _ => cidr::<Ipv4Addr>(t, 32).ok_or_else(|| "`dhcp`, `manual` or an IPv4 address with its prefix, such as `192.0.2.7/24`".to_owned()) };
    /// How an interface gets its IPv6 address.
    Ipv6Config, "ipv6-config", |t| match t { "dhcp" | "auto" | "manual" => Ok(t.to_owned()), _ => cidr::<Ipv6Addr>(t, 128).ok_or_else(|| "`auto`, `dhcp`, `manual` or an IPv6 address with its prefix, such as `2001:db8::7/64`".to_owned()) };
    /// Cloud-init's IPv4 address.
    CloudIpv4, "cloud-ipv4", |t| match t { "dhcp" => Ok(t.to_owned()), _ => cidr::<Ipv4Addr>(t, 32).ok_or_else(|| "`dhcp` or an IPv4 address with its prefix, such as `192.0.2.7/24`".to_owned()) };
    /// Cloud-init's IPv6 address.
    CloudIpv6, "cloud-ipv6", |t| match t { "dhcp" | "auto" => Ok(t.to_owned()), _ => cidr::<Ipv6Addr>(t, 128).ok_or_else(|| "`auto`, `dhcp` or an IPv6 address with its prefix, such as `2001:db8::7/64`".to_owned()) };
    /// An absolute path.
    AbsolutePath, "path", |t| keep(t, t.starts_with('/') && !t.contains(','), || "an absolute path without commas".to_owned());
    /// The path of a mount point inside a container.
    MountPath, "mount-path", |t| keep(t, t.starts_with('/') && t.len() > 1 && !t.contains([',', '\n']) && !t.split('/').any(|p| p == ".." || p == "."), || "an absolute path without `.`, `..` and commas, such as `/srv/data`".to_owned());
    /// The name of a network device inside a container.
    DeviceName, "device-name", |t| keep(t, (1..=15).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), || "the name of a network device such as `eth0`: at most 15 letters, digits, `-`, `_` and `.`".to_owned());
    /// A map of user and group ids for a mount point.
    IdMap, "id-map", |t| keep(t, is_id_map(t), || "`passthrough`, or entries `u:CONTAINER:HOST:COUNT` and `g:CONTAINER:HOST:COUNT` joined by `;`".to_owned());
    /// A time zone.
    TimeZone, "time-zone", |t| keep(t, is_word(t, b"/_-+"), || "`host` or a time zone such as `Europe/Vienna`".to_owned());
    /// One SSH public key.
    SshKey, "ssh-key", |t| keep(t.trim(), is_ssh_key(t.trim()), || "an SSH public key in one line: type, key, comment".to_owned());
    /// A certificate's fingerprint.
    Fingerprint, "fingerprint", |t| keep(&t.to_ascii_uppercase(), t.len() == 95 && t.split(':').all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit())), || "a SHA-256 fingerprint: 32 pairs of hexadecimal digits joined by `:`".to_owned());
    /// A host: a name or an address.
    Host, "host", |t| keep(t, is_dns_name(t) || t.parse::<IpAddr>().is_ok(), || "a host name or an IP address".to_owned());
    /// A host with an optional port.
    Portal, "portal", |t| keep(t, is_portal(t), || "a host name or an IP address, with an optional port, such as `192.0.2.9:3260`".to_owned());
    /// A block size: a power of two with an optional suffix.
    BlockSize, "block-size", |t| keep(&t.to_ascii_lowercase(), is_block_size(t), || "a power of two with an optional `k` or `m`, such as `16k`".to_owned());
    /// When a job runs. Proxmox VE reads it anew and refuses what is none; here only what can never be one is refused.
    CalendarEvent, "calendar-event", |t| keep(t, is_calendar_event(t), || "a calendar event such as `02:30`, `sat 03:00` or `mon..fri 22:00`, at most 128 characters".to_owned());
    /// One line of text, as long as comments of jobs may be.
    JobComment, "job-comment", |t| keep(t, is_line(t, 512), || "one line of at most 512 characters".to_owned());
    /// One line of text, as long as comments of replication jobs may be.
    ReplicationComment, "replication-comment", |t| keep(t, is_line(t, 4096), || "one line of at most 4096 characters".to_owned());
    /// The name of an alias or a set of a firewall; lower case is canonical.
    FirewallName, "firewall-name", |t| keep(&t.to_ascii_lowercase(), firewall::is_name(t), || "a name: letters, digits, `-` and `_`, beginning with a letter, 2 to 64 characters".to_owned());
    /// An address or a network of a firewall's alias; without the host's bits, and without a prefix that is the whole address.
    FirewallNetwork, "firewall-network", |t| firewall::network(t).ok_or_else(|| "an IP address or a network, such as `10.20.0.0/16` or `2001:db8::7`".to_owned());
    /// What can stand in a firewall's set.
    FirewallElement, "firewall-element", |t| firewall::element(t).filter(|element| !element.ends_with("/0")).ok_or_else(|| "an IP address, a network such as `10.20.0.0/16` (not of all addresses, which Proxmox VE lets in no set), or the name of an alias".to_owned());
    /// One line of text, as Proxmox VE keeps comments of firewalls: without blanks around it.
    FirewallComment, "firewall-comment", |t| keep(t, is_line(t, 512), || "one line of at most 512 characters".to_owned());
    /// A security group's name; lower case is canonical.
    GroupName, "group-name", |t| keep(&t.to_ascii_lowercase(), firewall::is_name(t) && t.len() <= 18, || "a name: letters, digits, `-` and `_`, beginning with a letter, 2 to 18 characters".to_owned());
    /// The name of a block of rules.
    BlockName, "block-name", |t| keep(t, firewall::is_name(t) && t.len() <= 32, || "a name: letters, digits, `-` and `_`, beginning with a letter, 2 to 32 characters".to_owned());
    /// What a rule does: a verdict, or the name of a security group.
    RuleAction, "rule-action", |t| match t.to_ascii_uppercase().as_str() { verdict @ ("ACCEPT" | "DROP" | "REJECT") => Ok(verdict.to_owned()), _ => keep(&t.to_ascii_lowercase(), firewall::is_name(t) && t.len() <= 18, || "`ACCEPT`, `DROP`, `REJECT`, or the name of a security group".to_owned()) };
    /// The name of a macro of firewall rules.
    MacroName, "firewall-macro", |t| keep(t, (1..=128).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric()), || "the name of a macro, such as `SSH`".to_owned());
    /// A protocol of a rule.
    ProtocolName, "firewall-protocol", |t| keep(&t.to_ascii_lowercase(), firewall::is_protocol(&t.to_ascii_lowercase()), || "a protocol: a name that nodes know (`/etc/protocols`) such as `tcp`, or a number from 0 to 255".to_owned());
    /// Whom a rule is about.
    FirewallPeer, "firewall-peer", |t| firewall::peer(t).ok_or_else(|| "addresses, networks and ranges between commas, an alias, or a set as `+NAME`".to_owned());
    /// Ports of a rule.
    FirewallPorts, "firewall-ports", |t| keep(t, firewall::is_ports(t), || "ports between commas such as `22,https`, or one range such as `1024:65535`".to_owned());
    /// An interface of a rule.
    InterfaceName, "firewall-interface", |t| keep(t, firewall::is_interface(t), || "the name of an interface, such as `vmbr0` or `net0`".to_owned());
    /// A type of ICMP.
    IcmpType, "icmp-type", |t| keep(t, t.parse::<u8>().is_ok_and(|n| n.to_string() == t) || (t.starts_with(|c: char| c.is_ascii_lowercase()) && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')), || "a type of ICMP by name or number, such as `echo-request`".to_owned());
    /// A helper for connections.
    ConntrackHelper, "conntrack-helper", |t| keep(t, t.starts_with(|c: char| c.is_ascii_lowercase()) && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), || "a helper such as `ftp`".to_owned());
    /// How much is logged at most.
    RateLimit, "rate-limit", |t| keep(t, is_rate_limit(t), || "whether there is a limit, and what it is, such as `1,burst=5,rate=1/second`".to_owned());
    /// What the notes of backups are made from.
    NotesTemplate, "notes-template", |t| keep(t, is_line(t, 1024), || "one line of at most 1024 characters".to_owned());
    /// A pattern of paths, as shells have them.
    PathPattern, "path-pattern", |t| keep(t, !t.is_empty() && is_line(t, 4096), || "a pattern of paths in one line, such as `/var/cache/*`".to_owned());
    /// The name of a file on a storage, such that Proxmox VE changes nothing in it (`normalize_content_filename`).
    FileName, "file-name", |t| keep(t, t.len() <= 255 && is_word(t, b"-_."), || "the name of a file: letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most 255 characters".to_owned());
    /// A checksum; lower case is canonical.
    HexDigest, "hex-digest", |t| keep(&t.to_ascii_lowercase(), (32..=128).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_hexdigit()), || "a checksum: 32 to 128 hexadecimal digits".to_owned());
    /// Where a file is downloaded from.
    ImageUrl, "image-url", |t| keep(t, is_image_url(t), || "an address `https://HOST/…` or `http://HOST/…` without blanks and without a user name or password".to_owned());
    /// An image of a container registry, as `POST /nodes/{node}/storage/{storage}/oci-registry-pull` takes it.
    ImageReference, "image-reference", |t| keep(t, is_image_reference(t), || "an image with its tag, such as `docker.io/library/nginx:1.29`: an optional registry, a path of lower-case letters and digits, `:` and a tag (Proxmox VE takes no digest)".to_owned());
    /// The name of a privilege, by its form: which there are, the cluster says.
    PrivilegeName, "privilege-name", |t| keep(t, is_privilege(t), || "the name of a privilege, such as `VM.Audit`".to_owned());
    /// When something ends: a time in UTC, or never. A day is its beginning.
    Expiry, "expiry", expiry;
    /// A first or last name (Proxmox VE: at most 1024 characters).
    UserName, "user-name", |t| keep(t, is_line(t, 1024), || "one line of at most 1024 characters".to_owned());
    /// A mail address (Proxmox VE: `email-opt`).
    EmailAddress, "email-address", |t| keep(t, is_email(t), || "a mail address, such as `ann@example.org`, at most 254 characters".to_owned());
    /// A user's comment.
    UserComment, "user-comment", |t| keep(t, is_line(t, 2048), || "one line of at most 2048 characters".to_owned());
    /// A token's name, the part of its id behind the `!` (Proxmox VE: `token-subid`).
    TokenName, "token-name", |t| keep(t, is_token_name(t), || "the name of a token: a letter, then at least one letter, digit, `.`, `-` or `_`".to_owned());
    /// One line of text, as the comments of tokens are.
    TokenComment, "token-comment", |t| keep(t, is_line(t, 2048), || "one line of at most 2048 characters".to_owned());
    /// A realm's comment.
    RealmComment, "realm-comment", |t| keep(t, is_line(t, 4096), || "one line of at most 4096 characters".to_owned());
    /// A setting of a realm in one line (Proxmox VE: at most 256 characters).
    RealmText, "realm-text", |t| keep(t, !t.is_empty() && is_line(t, 256), || "one line of at most 256 characters".to_owned());
    /// A setting of a realm in one word.
    RealmWord, "realm-word", |t| keep(t, t.chars().count() >= 2 && is_line(t, 256) && !t.contains(char::is_whitespace), || "a word of 2 to 256 characters, without blanks".to_owned());
    /// A filter of LDAP.
    LdapFilter, "ldap-filter", |t| keep(t, !t.is_empty() && is_line(t, 2048), || "a filter in one line, such as `(memberOf=cn=pve,dc=example,dc=org)`, at most 2048 characters".to_owned());
    /// The name of an attribute or object class of LDAP (Proxmox VE: `ldap-simple-attr`).
    LdapAttribute, "ldap-attribute", |t| keep(t, !t.is_empty() && t.len() <= 256 && t.bytes().all(|b| b.is_ascii_alphanumeric()), || "the name of an attribute or object class: letters and digits".to_owned());
    /// Which attributes of LDAP fill which fields of users.
    SyncAttributes, "sync-attributes", |t| keep(t, is_sync_attributes(t), || "pairs `FIELD=ATTRIBUTE` with commas between them, such as `email=mail,firstname=givenName`".to_owned());
    /// The name of a claim of OpenID Connect.
    OpenIdClaim, "openid-claim", |t| keep(t, (1..=256).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)), || "the name of a claim: letters, digits, `.`, `-` and `_`".to_owned());
    /// Values of OpenID Connect that stand in an address.
    OpenIdValues, "openid-values", |t| keep(t, !t.is_empty() && !t.chars().any(|c| c.is_control() || " <>#\"".contains(c)), || "a text without blanks, `<`, `>`, `#` and `\"`".to_owned());
    /// The path of a file that is to be made.
    NewFile, "new-file", |t| keep(t, is_new_file(t), || "the absolute path of a file, such as `/var/lib/bailiwick/secrets/NAME`, without `.` and `..`".to_owned());
    /// A value without commas, as property strings need it.
    Bare, "bare", |t| keep(t, !t.is_empty() && !t.contains([',', '\n', '\r']), || "a text without commas, in one line".to_owned());
    ;
    "size", |t| parse_size(t).map(print_size);
    "memory-size", |t| parse_memory(t).map(print_size);
    "node-name", id::<NodeName>;
    "vnet-name", id::<VnetName>;
    "storage-id", id::<StorageId>;
    "pool-id", id::<PoolId>;
    "backup-job-id", id::<BackupJobId>;
    "snapshot-name", id::<SnapshotName>;
    "replication-job-id", id::<ReplicationJobId>;
    "group-id", id::<GroupId>;
    "user-id", id::<UserId>;
    "role-id", id::<RoleId>;
    "realm-id", id::<RealmId>;
    "token-id", id::<TokenId>;
    "acl-path", id::<AclPath>;
    "volume-id", id::<VolumeId>;
    "cluster-name", id::<ClusterName>;
    "slot", id::<Slot>;
    "config-key", |t| keep(t, is_config_key(t), || "a key of Proxmox VE's configuration: a lower-case letter, then lower-case letters, digits, `-` and `_`".to_owned());
    "object-name", |t| keep(t, is_object_name(t), || "lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit, at most 63 characters".to_owned());
    "label-key", |t| keep(t, is_label_key(t), || "a key such as `team` or `example.org/team`: letters, digits, `-`, `_`, `.`, at most 63 characters after the `/`".to_owned());
    "label-value", |t| keep(t, t.is_empty() || (t.len() <= 63 && is_word(t, b"-_.") && t.ends_with(|c: char| c.is_ascii_alphanumeric())), || "at most 63 letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit".to_owned());
    "environment-variable", |t| keep(t, is_variable(t), || "the name of an environment variable".to_owned());
    "secret-path", |t| keep(t, !t.is_empty() && !t.contains(['\n', '\r', '\0']), || "the path of a file".to_owned());
    "environment-value", |t| keep(t, !t.chars().any(|c| c.is_control() && c != '\t'), || "one line without control characters".to_owned());
}

fn is_word(text: &str, extra: &[u8]) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
}

fn is_dns_name(text: &str) -> bool {
    text.len() <= 255
        && text.split('.').all(|part| {
            (1..=63).contains(&part.len())
                && is_word(part, b"-")
                && part.ends_with(|c: char| c.is_ascii_alphanumeric())
        })
}

/// `\w+=[^,]+(,\s*\w+=[^,]+)*` in Proxmox VE.
fn is_sync_attributes(text: &str) -> bool {
    let is_pair = |pair: &str| {
        pair.split_once('=').is_some_and(|(field, attribute)| {
            !field.is_empty()
                && field
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !attribute.is_empty()
        })
    };
    is_line(text, 4096) && text.split(',').map(str::trim_start).all(is_pair)
}

fn is_token_name(text: &str) -> bool {
    text.len() >= 2
        && text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

fn is_new_file(text: &str) -> bool {
    text.len() <= 4096
        && !text.chars().any(char::is_control)
        && text
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
}

/// A line that can stand in a section of a configuration file: nothing around it, no control characters.
fn is_line(text: &str, most: usize) -> bool {
    text.chars().count() <= most && text.trim() == text && !text.chars().any(char::is_control)
}

/// `[enable=]0|1[,burst=N][,rate=N/UNIT]`.
fn is_rate_limit(text: &str) -> bool {
    text.split(',').enumerate().all(|(at, part)| {
        let number = |text: &str| text.parse::<u32>().is_ok_and(|n| n.to_string() == text);
        match part.split_once('=') {
            None => at == 0 && matches!(part, "0" | "1"),
            Some(("enable", value)) => matches!(value, "0" | "1"),
            Some(("burst", value)) => number(value),
            Some(("rate", value)) => value.split_once('/').is_some_and(|(count, unit)| {
                number(count) && matches!(unit, "second" | "minute" | "hour" | "day")
            }),
            Some(_) => false,
        }
    })
}

fn is_image_url(text: &str) -> bool {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    text.len() <= 2048
        && text.bytes().all(|b| b.is_ascii_graphic())
        && host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
}

/// `[HOST[:PORT]/]PATH:TAG`. What stands before the first slash is a host if it could be no part of a path, or else either.
fn is_image_reference(text: &str) -> bool {
    let Some((name, tag)) = text.rsplit_once(':') else {
        return false;
    };
    let is_tag =
        is_word(tag, b"_.-") || (tag.starts_with('_') && is_word(&format!("a{tag}"), b"_.-"));
    let is_path = |path: &str| path.split('/').all(is_path_component);
    let is_host = |host: &str| {
        let (name, port) = host.split_once(':').unwrap_or((host, "1"));
        is_dns_name(name) && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
    };
    let named = is_path(name)
        || name
            .split_once('/')
            .is_some_and(|(host, path)| is_host(host) && is_path(path));
    text.len() <= 512 && tag.len() <= 128 && is_tag && named
}

/// Lower-case letters and digits, with `.`, `_`, `__` or any number of `-` between them.
fn is_path_component(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let between = |run: &[u8]| matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-');
    bytes.first().is_some_and(|b| plain(*b))
        && bytes.last().is_some_and(|b| plain(*b))
        && bytes
            .split(|b| plain(*b))
            .filter(|run| !run.is_empty())
            .all(between)
}

fn is_calendar_event(text: &str) -> bool {
    !text.is_empty()
        && is_line(text, 128)
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b" *,./:~-".contains(&b))
}

fn is_object_name(text: &str) -> bool {
    text.len() <= 63 && is_dns_name(text) && !text.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_label_key(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    prefix.is_none_or(is_dns_name)
        && name.len() <= 63
        && is_word(name, b"-_.")
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_config_key(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
}

fn is_range(text: &str, least: u32, greatest: u32) -> bool {
    let number = |part: &str| {
        part.parse::<u32>()
            .ok()
            .filter(|n| (least..=greatest).contains(n) && n.to_string() == part)
    };
    match text.split_once('-') {
        Some((from, to)) => {
            matches!((number(from), number(to)), (Some(from), Some(to)) if from <= to)
        }
        None => number(text).is_some(),
    }
}

fn is_machine(text: &str) -> bool {
    if matches!(text, "pc" | "q35" | "virt") {
        return text.len() <= 40;
    }
    let Some(version) = ["pc-i440fx-", "pc-q35-", "virt-", "pc-"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
    else {
        return false;
    };
    let version = version.strip_suffix(".pxe").unwrap_or(version);
    let (version, build) = match version.split_once("+pve") {
        Some((version, build)) => (version, Some(build)),
        None => (version, None),
    };
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.len() <= 40
        && version.contains('.')
        && version.split('.').all(number)
        && build.is_none_or(number)
}

/// The seconds of an age.
fn age(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    let plain = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
    let age = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    (plain && age <= 520 * 604_800).then_some(age)
}

impl Age {
    /// Seconds: 60 to 314,496,000.
    pub fn seconds(&self) -> u64 {
        age(self.as_str()).unwrap_or_default()
    }
}

/// `VM.Config.Disk`: words that begin with a capital letter, joined by full stops.
fn is_privilege(text: &str) -> bool {
    text.contains('.')
        && text.split('.').all(|word| {
            word.starts_with(|c: char| c.is_ascii_uppercase())
                && word.bytes().all(|b| b.is_ascii_alphanumeric())
        })
}

fn is_email(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-~_.".contains(&b))
    };
    text.len() <= 254
        && text
            .split_once('@')
            .is_some_and(|(name, host)| part(name) && is_dns_name(host))
}

/// Proxmox VE counts whole seconds, none of them before 1970.
fn expiry(text: &str) -> Checked {
    if text == "never" {
        return Ok(text.to_owned());
    }
    let day = || {
        let day = text.parse::<jiff::civil::Date>().ok()?;
        let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(midnight.timestamp())
    };
    let is_day = text.len() == 10;
    let time = if is_day {
        day()
    } else {
        text.parse::<jiff::Timestamp>().ok()
    };
    time.filter(|time| time.as_second() > 0 && time.subsec_nanosecond() == 0)
        .map(|time| time.to_string())
        .ok_or_else(|| {
            "a time in UTC such as `2027-03-31T18:00:00Z`, a day such as `2027-03-31`, or `never`"
                .to_owned()
        })
}

impl Expiry {
    /// Seconds since 1970; 0 for never.
    pub fn seconds(&self) -> i64 {
        let time = self.as_str().parse::<jiff::Timestamp>();
        time.map_or(0, |time| time.as_second())
    }

    /// What stands for a number of seconds since 1970; `None` if no document can say it.
    pub fn of_seconds(seconds: i64) -> Option<Self> {
        let text = match seconds {
            0 => "never".to_owned(),
            seconds => jiff::Timestamp::from_second(seconds).ok()?.to_string(),
        };
        Self::new(&text).ok()
    }
}

fn is_start_date(text: &str) -> bool {
    let numbers = |text: &str, separator: char, most: &[usize]| {
        let parts: Vec<_> = text.split(separator).collect();
        parts.len() == most.len()
            && parts.iter().zip(most).all(|(part, most)| {
                (1..=*most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
            })
    };
    let date = |text: &str| numbers(text, '-', &[4, 2, 2]) && text.find('-') == Some(4);
    match text.split_once('T') {
        Some((day, time)) => date(day) && numbers(time, ':', &[2, 2, 2]),
        None => text == "now" || date(text),
    }
}

fn scsi_name(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_ ".contains(&b))
}

fn is_id_map(text: &str) -> bool {
    text == "passthrough"
        || text.split(';').all(|entry| {
            let parts: Vec<_> = entry.split(':').collect();
            matches!(parts.as_slice(), ["u" | "g", first, second, count]
                if first.parse::<u32>().is_ok() && second.parse::<u32>().is_ok() && count.parse::<u32>().is_ok_and(|n| n > 0))
        })
}

fn is_ssh_key(text: &str) -> bool {
    let mut parts = text.split_ascii_whitespace();
    let known = |kind: &str| {
        kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-")
    };
    !text.contains(['\n', '\r'])
        && parts.next().is_some_and(known)
        && parts.next().is_some_and(|key| {
            key.len() >= 16
                && key
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
        })
}

fn is_portal(text: &str) -> bool {
    if is_dns_name(text) || text.parse::<IpAddr>().is_ok() {
        return true;
    }
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let host = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        (is_dns_name(host) || host.parse::<IpAddr>().is_ok())
            && port.parse::<u16>().is_ok_and(|p| p > 0)
    })
}

fn is_block_size(text: &str) -> bool {
    let digits = text.strip_suffix(['k', 'K', 'm', 'M']).unwrap_or(text);
    digits
        .parse::<u64>()
        .is_ok_and(|n| n.is_power_of_two() && n.to_string() == digits)
}

fn cidr<A: FromStr + ToString>(text: &str, most: u8) -> Option<String> {
    let (address, prefix) = text.split_once('/')?;
    let address = address.parse::<A>().ok()?.to_string();
    let bits = prefix
        .parse::<u8>()
        .ok()
        .filter(|n| *n <= most && n.to_string() == prefix)?;
    Some(format!("{address}/{bits}"))
}

fn mac(text: &str) -> Checked {
    let parts: Vec<_> = text.split(':').collect();
    let valid = parts.len() == 6
        && parts
            .iter()
            .all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
    if !valid {
        return Err("a MAC address such as `BC:24:11:00:00:07`".to_owned());
    }
    let first = parts.first().and_then(|p| u8::from_str_radix(p, 16).ok());
    if first.is_none_or(|byte| byte & 1 == 1) {
        return Err("a MAC address that is not a multicast address".to_owned());
    }
    Ok(text.to_ascii_uppercase())
}

macro_rules! id_schemas {
    ($($name:ident, $format:literal;)*) => { $(
        impl JsonSchema for $name {
            fn inline_schema() -> bool { true }
            fn schema_name() -> Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": $format})
            }
        }
    )* };
}

id_schemas! {
    NodeName, "node-name";
    VnetName, "vnet-name";
    StorageId, "storage-id";
    PoolId, "pool-id";
    BackupJobId, "backup-job-id";
    SnapshotName, "snapshot-name";
    ReplicationJobId, "replication-job-id";
    GroupId, "group-id";
    UserId, "user-id";
    RoleId, "role-id";
    RealmId, "realm-id";
    TokenId, "token-id";
    AclPath, "acl-path";
    VolumeId, "volume-id";
    ClusterName, "cluster-name";
    Slot, "slot";
}

impl JsonSchema for Vmid {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Vmid".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": Vmid::MIN, "maximum": Vmid::MAX})
    }
}

impl JsonSchema for SecretRef {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "SecretRef".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": {
                "fromFile": {"type": "string", "format": "secret-path", "description": "A file of the controller that only its owner can read; a trailing newline is dropped."},
                "fromEnv": {"type": "string", "format": "environment-variable", "description": "An environment variable of the controller."},
            },
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn formats_refuse_what_proxmox_refuses() {
        for (format, good, bad) in [
            ("mac-address", "bc:24:11:00:00:07", "01:00:5e:00:00:01"),
            ("machine-type", "pc-q35-9.2+pve1", "q36"),
            ("vlan-range", "100-120", "120-100"),
            ("ipv4-config", "192.0.2.7/24", "192.0.2.7"),
            ("start-date", "2026-11-22T16:58:00", "22-11-2026"),
            ("portal", "[2001:db8::1]:3260", "host:0"),
            ("block-size", "16k", "12k"),
            ("tag", "prod", "-prod"),
            ("mount-path", "/srv/data", "/srv/../etc"),
            ("id-map", "u:0:100000:65536;g:0:100000:65536", "u:0"),
            ("dns-name", "web-7.example.org", "web_7"),
            ("token-name", "ci-1", "1ci"),
            ("token-comment", "for the builds", "two\nlines"),
            ("new-file", "/etc/secrets/ci", "/etc/../ci"),
            ("net-slot", "net31", "net32"),
            ("disk-slot", "scsi30", "scsi01"),
        ] {
            assert!(check(format, good).unwrap().is_ok(), "{format} {good}");
            assert!(check(format, bad).unwrap().is_err(), "{format} {bad}");
        }
        assert!(check("no-such-format", "x").is_none());
    }
}
