//! `/access/users`: accounts and their tokens.

use serde_json::{Map, Value, json};

use super::call::{Answer, ApiError, Call, Method};
use super::formats::COUNT;
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::state::Cluster;
use super::users::{Subject, Token, User, UserConfig};

const USERS: &[Param] = &[
    Param::new("enabled", Kind::Boolean),
    Param::new("full", Kind::Boolean),
];
const USER: &[Param] = &[
    Param::new("comment", Kind::TextMax(2048)),
    Param::new("email", Kind::TextMax(254)),
    Param::new("enable", Kind::Boolean),
    Param::new("expire", COUNT),
    Param::new("firstname", Kind::TextMax(1024)),
    Param::new("groups", Kind::Text),
    Param::new("keys", Kind::Text),
    Param::new("lastname", Kind::TextMax(1024)),
];
const NEW_USER: &[Param] = &[
    Param::required("userid", Kind::TextMax(64)),
    Param::new("password", Kind::TextMax(64)),
];
pub(super) const APPEND: &[Param] = &[Param::new("append", Kind::Boolean)];
const TOKEN: &[Param] = &[
    Param::new("comment", Kind::Text),
    Param::new("expire", COUNT),
    Param::new("privsep", Kind::Boolean),
];
const TOKEN_CHANGE: &[Param] = &[
    Param::new("delete", Kind::TextMax(4096)),
    Param::new("regenerate", Kind::Boolean),
];
/// The call that changes a token, as editions name it.
const CHANGE_TOKEN: &str = "PUT /access/users/{userid}/token/{tokenid}";

/// The routes of accounts.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method::{Delete, Get, Post, Put};
    vec![
        route(Get, "/access/users", &[USERS], Access::User, users),
        route(
            Post,
            "/access/users",
            &[NEW_USER, USER],
            Access::User,
            create_user,
        ),
        route(Get, "/access/users/{userid}", &[], Access::User, user),
        route(
            Put,
            "/access/users/{userid}",
            &[USER, APPEND],
            Access::User,
            update_user,
        ),
        route(
            Delete,
            "/access/users/{userid}",
            &[],
            Access::User,
            delete_user,
        ),
        route(
            Get,
            "/access/users/{userid}/token",
            &[],
            Access::User,
            tokens,
        ),
        route(
            Get,
            "/access/users/{userid}/token/{tokenid}",
            &[],
            Access::User,
            token,
        ),
        route(
            Post,
            "/access/users/{userid}/token/{tokenid}",
            &[TOKEN],
            Access::User,
            create_token,
        ),
        route(
            Put,
            "/access/users/{userid}/token/{tokenid}",
            &[TOKEN, TOKEN_CHANGE],
            Access::User,
            update_token,
        ),
        route(
            Delete,
            "/access/users/{userid}/token/{tokenid}",
            &[],
            Access::User,
            delete_token,
        ),
    ]
}

/// The type of a realm, if there is such a realm.
fn realm_type(cluster: &Cluster, realm: &str) -> Option<String> {
    match realm {
        "pam" | "pve" => Some(realm.to_owned()),
        _ => super::section_config::parse(cluster.files.read("domains.cfg"))
            .into_iter()
            .find(|section| section.id == realm)
            .map(|section| section.kind),
    }
}

fn users(cluster: &mut Cluster, call: &Call) -> Answer {
    let config = cluster.users();
    let held = cluster.privileges(&call.auth, "/access/groups");
    let all = held.contains_key("User.Modify") || held.contains_key("Sys.Audit");
    let mut list = vec![];
    for (id, user) in &config.users {
        let in_reach = || {
            config
                .groups
                .iter()
                .filter(|(_, group)| group.users.contains(id))
                .any(|(name, _)| {
                    let held = cluster.privileges(&call.auth, &format!("/access/groups/{name}"));
                    held.contains_key("User.Modify") || held.contains_key("Sys.Audit")
                })
        };
        if !(all || *id == call.auth.id || in_reach())
            || call
                .flag("enabled")
                .is_some_and(|enabled| enabled != user.enable)
        {
            continue;
        }
        let mut entry = user_fields(user);
        entry.insert("userid".into(), json!(id));
        if let Some(kind) = realm_type(cluster, id.rsplit('@').next().unwrap_or("")) {
            entry.insert("realm-type".into(), json!(kind));
        }
        if call.is_set("full") {
            let groups: Vec<&str> = member_of(&config, id);
            entry.insert("groups".into(), json!(groups.join(",")));
            let tokens: Vec<Value> = config
                .tokens_of(id)
                .map(|(token, _)| token_fields(&config, token, true))
                .collect();
            entry.insert("tokens".into(), json!(tokens));
        }
        list.push(Value::Object(entry));
    }
    Ok(Value::Array(list))
}

fn member_of<'a>(config: &'a UserConfig, user: &str) -> Vec<&'a str> {
    config
        .groups
        .iter()
        .filter(|(_, group)| group.users.contains(user))
        .map(|(name, _)| name.as_str())
        .collect()
}

fn user_fields(user: &User) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("enable".into(), json!(u8::from(user.enable)));
    fields.insert("expire".into(), json!(user.expire));
    let texts = [
        ("firstname", &user.firstname),
        ("lastname", &user.lastname),
        ("email", &user.email),
        ("comment", &user.comment),
        ("keys", &user.keys),
    ];
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        fields.insert(name.into(), json!(text));
    }
    fields
}

fn token_fields(config: &UserConfig, id: &str, named: bool) -> Value {
    let Some(token) = config.tokens.get(id) else {
        return Value::Null;
    };
    let mut fields = Map::new();
    fields.insert("expire".into(), json!(token.expire));
    fields.insert("privsep".into(), json!(u8::from(token.privsep)));
    if !token.comment.is_empty() {
        fields.insert("comment".into(), json!(token.comment));
    }
    if named {
        fields.insert(
            "tokenid".into(),
            json!(id.split_once('!').map_or(id, |(_, name)| name)),
        );
    }
    Value::Object(fields)
}

fn require_user(config: &UserConfig, call: &Call) -> Result<User, ApiError> {
    let id = call.text("userid");
    config
        .users
        .get(id)
        .cloned()
        .ok_or_else(|| ApiError::internal(format!("no such user ('{id}')")))
}

fn user(cluster: &mut Cluster, call: &Call) -> Answer {
    if call.text("userid") != call.auth.user() {
        cluster.check_any(&call.auth, "/access/groups", &["User.Modify", "Sys.Audit"])?;
    }
    let config = cluster.users();
    let user = require_user(&config, call)?;
    let mut fields = user_fields(&user);
    let id = call.text("userid");
    fields.insert("groups".into(), json!(member_of(&config, id)));
    let tokens: Map<String, Value> = config
        .tokens_of(id)
        .map(|(token, _)| {
            (
                token
                    .split_once('!')
                    .map_or(token.clone(), |(_, name)| name.into()),
                token_fields(&config, token, false),
            )
        })
        .collect();
    fields.insert(
        "tokens".into(),
        if tokens.is_empty() {
            Value::Null
        } else {
            Value::Object(tokens)
        },
    );
    Ok(Value::Object(fields))
}

fn tokens(cluster: &mut Cluster, call: &Call) -> Answer {
    if call.text("userid") != call.auth.user() {
        cluster.check_any(&call.auth, "/access/groups", &["User.Modify", "Sys.Audit"])?;
    }
    let config = cluster.users();
    require_user(&config, call)?;
    Ok(config
        .tokens_of(call.text("userid"))
        .map(|(token, _)| token_fields(&config, token, true))
        .collect())
}

fn set_user(user: &mut User, call: &Call) {
    for (name, field) in [
        ("comment", &mut user.comment),
        ("email", &mut user.email),
        ("firstname", &mut user.firstname),
        ("lastname", &mut user.lastname),
        ("keys", &mut user.keys),
    ] {
        if let Some(value) = call.get(name) {
            value.clone_into(field);
        }
    }
    user.enable = call.flag("enable").unwrap_or(user.enable);
    user.expire = call.int("expire").unwrap_or(user.expire);
}

/// Puts a user into the groups a call names; those it was in before stay only with `append`.
fn set_groups(config: &mut UserConfig, call: &Call, id: &str) -> Result<(), ApiError> {
    if call.get("groups").is_none() {
        return Ok(());
    }
    if !call.is_set("append") {
        for group in config.groups.values_mut() {
            group.users.remove(id);
        }
    }
    for name in call.list("groups") {
        let group = config
            .groups
            .get_mut(&name)
            .ok_or_else(|| ApiError::internal(format!("no such group '{name}'")))?;
        group.users.insert(id.to_owned());
    }
    Ok(())
}

fn create_user(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("userid").to_owned();
    let Some((_, realm)) = id
        .split_once('@')
        .filter(|(name, realm)| !name.is_empty() && realm.len() >= 2)
    else {
        return Err(ApiError::internal(format!(
            "value '{id}' does not look like a valid user name"
        )));
    };
    cluster.check_all(
        &call.auth,
        &format!("/access/realm/{realm}"),
        &["Realm.AllocateUser"],
    )?;
    may_modify(cluster, call, None)?;
    if call
        .get("password")
        .is_some_and(|password| password.len() < 8)
    {
        return Err(ApiError::parameter(
            "password",
            "value must be at least 8 characters long",
        ));
    }
    let made = cluster.change_users(|config| {
        if config.users.contains_key(&id) {
            return Err(ApiError::internal(format!("user '{id}' already exists")));
        }
        let mut user = User {
            enable: true,
            ..User::default()
        };
        set_user(&mut user, call);
        config.users.insert(id.clone(), user);
        set_groups(config, call, &id)
    });
    made.map_err(|error| error.prefixed("create user failed"))?;
    if let Some(password) = call.get("password") {
        cluster.passwords.insert(id, password.to_owned());
    }
    Ok(Value::Null)
}

/// `User.Modify` on all groups; or on each that a call names, and for a user that is there on any that it is in
/// (PVE::RPCEnvironment, `userid-group`).
fn may_modify(cluster: &Cluster, call: &Call, existing: Option<&str>) -> Result<(), ApiError> {
    let modify = &["User.Modify"];
    let Err(lacking) = cluster.check_all(&call.auth, "/access/groups", modify) else {
        return Ok(());
    };
    let named = call.list("groups");
    for group in &named {
        cluster.check_all(&call.auth, &format!("/access/groups/{group}"), modify)?;
    }
    let reached = match existing {
        None => !named.is_empty(),
        Some(user) => member_of(&cluster.read_users(), user).iter().any(|group| {
            let path = format!("/access/groups/{group}");
            cluster.allowed(&call.auth, &path, "User.Modify")
        }),
    };
    if reached { Ok(()) } else { Err(lacking) }
}

fn update_user(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("userid");
    may_modify(cluster, call, Some(id))?;
    cluster.change_users(|config| {
        let mut user = require_user(config, call)?;
        set_user(&mut user, call);
        config.users.insert(id.to_owned(), user);
        set_groups(config, call, id)
    })?;
    Ok(Value::Null)
}

/// A user's tokens, memberships and access entries go with it.
fn delete_user(cluster: &mut Cluster, call: &Call) -> Answer {
    let id = call.text("userid");
    let prefix = format!("{id}!");
    let realm = id.rsplit('@').next().unwrap_or_default();
    let path = format!("/access/realm/{realm}");
    cluster.check_all(&call.auth, &path, &["Realm.AllocateUser"])?;
    may_modify(cluster, call, Some(id))?;
    cluster.change_users(|config| {
        require_user(config, call)?;
        config.users.remove(id);
        config.tokens.retain(|token, _| !token.starts_with(&prefix));
        config.groups.values_mut().for_each(|group| {
            group.users.remove(id);
        });
        forget(config, |subject, name| match subject {
            Subject::User => name == id,
            Subject::Token => name.starts_with(&prefix),
            Subject::Group => false,
        });
        Ok::<_, ApiError>(())
    })?;
    cluster.passwords.remove(id);
    cluster
        .secrets
        .retain(|token, _| !token.starts_with(&prefix));
    Ok(Value::Null)
}

/// Removes all access entries of some subjects.
pub(super) fn forget(config: &mut UserConfig, gone: impl Fn(Subject, &str) -> bool) {
    for entries in config.acl.values_mut() {
        entries.retain(|(subject, name), _| !gone(*subject, name));
    }
    config.acl.retain(|_, entries| !entries.is_empty());
}

/// Whether a text can be a token's name.
pub(super) fn is_token(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn full_token(call: &Call) -> String {
    format!("{}!{}", call.text("userid"), call.text("tokenid"))
}

/// The token's owner itself, or whoever may change all users, or those of one of the owner's groups.
fn may_change_tokens(cluster: &Cluster, call: &Call) -> Result<(), ApiError> {
    if !cluster.read_users().users.contains_key(call.text("userid")) {
        return Err(ApiError::new(403, "Permission check failed"));
    }
    if call.text("userid") == call.auth.id {
        return Ok(());
    }
    let config = cluster.read_users();
    let through_a_group = member_of(&config, call.text("userid"))
        .into_iter()
        .any(|group| {
            let held = cluster.privileges(&call.auth, &format!("/access/groups/{group}"));
            held.contains_key("User.Modify")
        });
    match through_a_group {
        true => Ok(()),
        false => cluster.check_all(&call.auth, "/access/groups", &["User.Modify"]),
    }
}

fn no_such_token(call: &Call) -> ApiError {
    ApiError::internal(format!(
        "no such token '{}' for user '{}'",
        call.text("tokenid"),
        call.text("userid")
    ))
}

fn token(cluster: &mut Cluster, call: &Call) -> Answer {
    if call.text("userid") != call.auth.user() {
        cluster.check_any(&call.auth, "/access/groups", &["User.Modify", "Sys.Audit"])?;
    }
    let config = cluster.users();
    let id = full_token(call);
    if !config.tokens.contains_key(&id) {
        return Err(no_such_token(call));
    }
    Ok(token_fields(&config, &id, false))
}

fn create_token(cluster: &mut Cluster, call: &Call) -> Answer {
    may_change_tokens(cluster, call)?;
    let id = full_token(call);
    let token = Token {
        expire: call.int("expire").unwrap_or(0),
        privsep: call.flag("privsep").unwrap_or(true),
        comment: call.text("comment").to_owned(),
    };
    let mut info = json!({ "privsep": u8::from(token.privsep).to_string(), "expire": token.expire.to_string() });
    if !token.comment.is_empty() {
        super::call::put(&mut info, "comment", json!(token.comment));
    }
    cluster.change_users(|config| {
        if config.tokens.contains_key(&id) {
            return Err(ApiError::parameter("tokenid", "Token already exists."));
        }
        config.tokens.insert(id.clone(), token);
        Ok(())
    })?;
    let secret = cluster.random_uuid();
    cluster.secrets.insert(id.clone(), secret.clone());
    Ok(json!({ "full-tokenid": id, "value": secret, "info": info }))
}

/// Versions before 9.2 take neither a `delete` nor an empty comment for the removal of a comment.
fn update_token(cluster: &mut Cluster, call: &Call) -> Answer {
    may_change_tokens(cluster, call)?;
    let id = full_token(call);
    let clears = !cluster.edition.lacks(CHANGE_TOKEN, "delete");
    let deleted = call.list("delete");
    if let Some(other) = deleted.iter().find(|name| *name != "comment") {
        return Err(ApiError::internal(format!(
            "updating token info failed: unknown option '{other}'"
        )));
    }
    cluster.change_users(|config| {
        let token = config
            .tokens
            .get_mut(&id)
            .ok_or_else(|| no_such_token(call))?;
        token.expire = call.int("expire").unwrap_or(token.expire);
        token.privsep = call.flag("privsep").unwrap_or(token.privsep);
        if !deleted.is_empty() {
            token.comment.clear();
        }
        if let Some(comment) = call
            .get("comment")
            .filter(|text| clears || !text.is_empty())
        {
            comment.clone_into(&mut token.comment);
        }
        Ok::<_, ApiError>(())
    })?;
    let mut answer = token_fields(&cluster.users(), &id, false);
    if call.is_set("regenerate") {
        let secret = cluster.random_uuid();
        cluster.secrets.insert(id, secret.clone());
        super::call::put(&mut answer, "value", json!(secret));
    }
    Ok(answer)
}

fn delete_token(cluster: &mut Cluster, call: &Call) -> Answer {
    may_change_tokens(cluster, call)?;
    let id = full_token(call);
    cluster.change_users(|config| {
        config
            .tokens
            .remove(&id)
            .ok_or_else(|| no_such_token(call))?;
        forget(config, |subject, name| {
            subject == Subject::Token && name == id
        });
        Ok::<_, ApiError>(())
    })?;
    cluster.secrets.remove(&id);
    Ok(Value::Null)
}
