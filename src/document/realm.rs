//! The kind `Realm`: where users come from, and how their logins are checked.

use super::desired::{DesiredRealm, SecretRef, Wish};
use super::options::{
    ExtraConfig, Field, Group, Set, Wishes, collect, options, property_strings, words,
};
use super::scalar::{
    AbsolutePath, Host, LdapAttribute, LdapFilter, OpenIdClaim, OpenIdValues, RealmComment,
    RealmText, RealmWord, SyncAttributes,
};
use crate::ids::RealmId;

words! {
    /// The type of a realm. It never changes.
    pub enum RealmType { Pam = "pam", Pve = "pve", Ldap = "ldap", Ad = "ad", Openid = "openid" }
}
words! {
    /// How a server of LDAP is spoken to.
    pub enum RealmMode { Ldap = "ldap", Ldaps = "ldaps", StartTls = "ldap+starttls" }
}
words! {
    /// The version of TLS.
    pub enum RealmTls { V1 = "tlsv1", V11 = "tlsv1_1", V12 = "tlsv1_2", V13 = "tlsv1_3" }
}
words! {
    /// The second factor that everybody needs. `yubico` is not managed: its configuration holds a key.
    pub enum RealmTfaType { Oath = "oath" }
}
words! {
    /// What a synchronization takes over.
    pub enum SyncScope { Users = "users", Groups = "groups", Both = "both" }
}
words! {
    /// What a synchronization removes with what it does not find any more.
    pub enum Vanished { Acl = "acl", Entry = "entry", Properties = "properties" }
}

options! {
    /// A second factor that everybody of the realm needs to log in.
    pub struct RealmTfa {
        /// Its type.
        r#type: Field<RealmTfaType> = "type",
        /// How many digits a code has. Default 6.
        #[schemars(range(min = 6, max = 8))]
        digits: Field<u32> = "digits",
        /// For how many seconds a code is good. Default 30.
        #[schemars(range(min = 10))]
        step: Field<u32> = "step",
    }
}

options! {
    /// What a synchronization does where nothing else is said when it is started. Bailiwick starts none.
    pub struct SyncDefaults {
        /// What is taken over. Without it whoever starts a synchronization has to say it.
        scope: Field<SyncScope> = "scope",
        /// Whether users that come new may log in. Default `true`.
        enable_new: Field<bool> = "enable-new",
        /// What is removed with users and groups that the server does not have any more: `entry` themselves, `acl` their access rules,
        /// `properties` whatever was set on those that stay. Default nothing.
        remove_vanished: Field<Set<Vanished, ';'>> = "remove-vanished",
    }
}
property_strings!(RealmTfa, SyncDefaults);

options! {
    /// How a realm shall be. What is not written is not managed; `null` asks for a setting's removal. `pam` and `pve` are built in: they
    /// are never made and never deleted, and of them only `comment`, `default` and `tfa` can be set. When the document of another realm is
    /// removed with `bailiwick.dev/deletion: delete`, its users stay, and can no longer log in. Bailiwick starts no synchronization.
    pub struct RealmSpec {
        /// The realm's id, where it is not the document's name: what stands behind the `@` of its users. It never changes.
        id: Option<RealmId> = "realm" by hand,
        /// The type. It never changes; a realm that has to be made needs it.
        r#type: Option<RealmType> = "type" by hand,
        /// The comment, by which people choose the realm when they log in.
        comment: Field<RealmComment> = "comment",
        /// Whether it is the one that is chosen where nobody says which. One realm at most: setting it here takes it from the one that
        /// has it. Default `false`.
        default: Field<bool> = "default",
        /// A second factor that everybody of the realm needs: `pam`, `pve`, `ldap`, `ad`. Whoever has none yet can no longer log in.
        tfa: Field<RealmTfa> = "tfa",
        /// The server, a name or an address: `ldap`, `ad`, which need it.
        server: Field<Host> = "server1",
        /// The server that is asked where the first does not answer: `ldap`, `ad`.
        fallback_server: Field<Host> = "server2",
        /// The port of both servers: `ldap`, `ad`. Default 389, with `mode: ldaps` 636.
        #[schemars(range(min = 1, max = 65535))]
        port: Field<u32> = "port",
        /// How the server is spoken to: `ldap`, `ad`. Default `ldap`, with which passwords cross the network as they are.
        mode: Field<RealmMode> = "mode",
        /// Whether the server's certificate is checked: `ldap`, `ad`. Default `false`.
        verify: Field<bool> = "verify",
        /// The certificates that are trusted, a directory or a file on the nodes: `ldap`, `ad`. Default `/etc/ssl/certs`.
        ca_path: Field<AbsolutePath> = "capath",
        /// The certificate by which the nodes show who they are, a file there: `ldap`, `ad`.
        client_certificate: Field<AbsolutePath> = "cert",
        /// The key of that certificate, a file on the nodes: `ldap`, `ad`.
        client_certificate_key: Field<AbsolutePath> = "certkey",
        /// The version of TLS: `ldap`, `ad`. Default `tlsv1_2`.
        tls_version: Field<RealmTls> = "sslversion",
        /// Below what users are looked for: `ldap`, which needs it, `ad`.
        base_dn: Field<RealmText> = "base_dn",
        /// As whom users are looked for, where the server does not let everybody: `ldap`, `ad`.
        bind_dn: Field<RealmText> = "bind_dn",
        /// The password of `bindDn`. It cannot be read back, so only a change of the secret's fingerprint shows.
        bind_password_from: Field<SecretRef> = "password",
        /// The attribute that holds a user's name: `ldap`, which needs it, `ad`.
        user_attribute: Field<RealmWord> = "user_attr",
        /// The domain: `ad`, which needs it.
        domain: Field<RealmWord> = "domain",
        /// Whether names of users differ by case: `ldap`, `ad`. Default `true`.
        case_sensitive: Field<bool> = "case-sensitive",
        /// Which users a synchronization takes over: `ldap`, `ad`.
        user_filter: Field<LdapFilter> = "filter",
        /// The object classes of users: `ldap`, `ad`. Default `inetorgperson`, `posixaccount`, `person`, `user`.
        user_classes: Field<Set<LdapAttribute, ','>> = "user_classes",
        /// Below what a synchronization looks for groups: `ldap`, `ad`. Default `baseDn`.
        group_dn: Field<RealmText> = "group_dn",
        /// The attribute that holds a group's name: `ldap`, `ad`.
        group_name_attribute: Field<LdapAttribute> = "group_name_attr",
        /// Which groups a synchronization takes over: `ldap`, `ad`.
        group_filter: Field<LdapFilter> = "group_filter",
        /// The object classes of groups: `ldap`, `ad`. Default `groupOfNames`, `group`, `univentionGroup`, `ipausergroup`.
        group_classes: Field<Set<LdapAttribute, ','>> = "group_classes",
        /// Which attributes fill which fields of users, `FIELD=ATTRIBUTE,…` such as `email=mail`: `ldap`, `ad`.
        sync_attributes: Field<SyncAttributes> = "sync_attributes",
        /// What a synchronization does where nothing else is said: `ldap`, `ad`.
        sync_defaults: Field<SyncDefaults> = "sync-defaults-options",
        /// The address of the issuer: `openid`, which needs it.
        issuer_url: Field<RealmText> = "issuer-url",
        /// As whom Proxmox VE is known there: `openid`, which needs it.
        client_id: Field<RealmText> = "client-id",
        /// The key of that client: `openid`. It is never read back, so only a change of the secret's fingerprint shows.
        client_key_from: Field<SecretRef> = "client-key",
        /// Whether who logs in for the first time becomes a user: `openid`. Default `false`.
        autocreate: Field<bool> = "autocreate",
        /// The claim that becomes a user's name: `openid`. It is said when the realm is made and never changes.
        username_claim: Field<RealmWord> = "username-claim",
        /// What is asked for, words with blanks between them: `openid`. Default `email profile`.
        scopes: Field<RealmText> = "scopes",
        /// Whether the issuer asks the user: `none`, `login`, `consent`, `select_account` or a word of the issuer's own: `openid`.
        prompt: Field<RealmWord> = "prompt",
        /// The classes of authentication that are asked for: `openid`.
        acr_values: Field<OpenIdValues> = "acr-values",
        /// Whom tokens may be for besides the client: `openid`.
        audiences: Field<OpenIdValues> = "audiences",
        /// Whether the issuer is asked for claims that a token lacks: `openid`. Default `true`.
        query_userinfo: Field<bool> = "query-userinfo",
        /// The claim that names a user's groups: `openid`.
        groups_claim: Field<OpenIdClaim> = "groups-claim",
        /// Whether groups that are not there are made: `openid`. Default `false`.
        groups_autocreate: Field<bool> = "groups-autocreate",
        /// Whether logging in takes a user out of every group that the claim does not name: `openid`. Default `false`.
        groups_overwrite: Field<bool> = "groups-overwrite",
        /// Options that have no field here yet, under Proxmox VE's own names.
        extra_config: ExtraConfig = "",
    }
}

/// What every realm has.
const COMMON: [&str; 2] = ["comment", "default"];

/// What realms that ask a server of LDAP have.
const LDAP: [&str; 24] = [
    "base_dn",
    "bind_dn",
    "capath",
    "case-sensitive",
    "cert",
    "certkey",
    "filter",
    "group_classes",
    "group_dn",
    "group_filter",
    "group_name_attr",
    "mode",
    "password",
    "port",
    "secure",
    "server1",
    "server2",
    "sslversion",
    "sync-defaults-options",
    "sync_attributes",
    "tfa",
    "user_attr",
    "user_classes",
    "verify",
];

/// What realms of OpenID Connect have.
const OPENID: [&str; 13] = [
    "acr-values",
    "audiences",
    "autocreate",
    "client-id",
    "client-key",
    "groups-autocreate",
    "groups-claim",
    "groups-overwrite",
    "issuer-url",
    "prompt",
    "query-userinfo",
    "scopes",
    "username-claim",
];

impl RealmType {
    /// The type of a word, if it is one.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Self::Pam, Self::Pve, Self::Ldap, Self::Ad, Self::Openid]
            .into_iter()
            .find(|known| known.as_str() == word)
    }

    /// The type of a realm that is built in: nobody makes or deletes it.
    #[must_use]
    pub fn built_in(id: &str) -> Option<Self> {
        match id {
            "pam" => Some(Self::Pam),
            "pve" => Some(Self::Pve),
            _ => None,
        }
    }

    /// Whether a realm of this type has a setting. Of one that is in no list here Proxmox VE says it, except for the built-in ones, which
    /// have what is listed and no more.
    #[must_use]
    pub fn takes(self, key: &str) -> bool {
        let listed = LDAP.contains(&key) || OPENID.contains(&key) || key == "domain";
        COMMON.contains(&key)
            || match self {
                Self::Pam | Self::Pve => key == "tfa",
                Self::Ldap => !listed || LDAP.contains(&key),
                Self::Ad => !listed || LDAP.contains(&key) || key == "domain",
                Self::Openid => !listed || OPENID.contains(&key),
            }
    }

    /// What a realm of this type cannot be without.
    #[must_use]
    pub fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Pam | Self::Pve => &[],
            Self::Ldap => &["base_dn", "server1", "user_attr"],
            Self::Ad => &["domain", "server1"],
            Self::Openid => &["client-id", "issuer-url"],
        }
    }
}

impl RealmSpec {
    /// What this asks for in Proxmox VE's words, for the realm of that id.
    #[must_use]
    pub fn desired(&self, id: RealmId) -> DesiredRealm {
        let mut wishes = Vec::new();
        self.write(&mut wishes);
        DesiredRealm {
            id,
            realm_type: self.r#type.map(|of| of.as_str().to_owned()),
            options: collect(wishes),
        }
    }

    /// The written options under Proxmox VE's keys, each with whether its removal is asked for.
    #[must_use]
    pub fn written_keys(&self) -> Vec<(String, bool)> {
        let mut wishes: Wishes = Vec::new();
        self.write(&mut wishes);
        let keys = wishes.into_iter();
        keys.map(|(key, wish)| (key, matches!(wish, Wish::Remove)))
            .collect()
    }
}
