//! The calls of actions on accounts.

use super::{Request, Secrets, Unsendable, join, request};
use crate::ids::{AclPath, AclSubject, RealmId, RoleId, TokenId};
use crate::proxmox::call::Method;
use crate::world::AccountAction;

/// The call that does an action on accounts; the digest is sent where the call takes one.
pub(super) fn request_of(
    action: &AccountAction,
    digest: Option<&str>,
    secrets: &Secrets<'_>,
) -> Result<Request, Unsendable> {
    let at = |method, kind, id: &str| request(method, ["access", kind, id], None);
    let new = |kind| request(Method::Post, ["access", kind], None);
    Ok(match action {
        AccountAction::CreateGroup { id, comment } => new("groups")
            .with("groupid", id.as_str())
            .with_some("comment", comment.clone()),
        AccountAction::UpdateGroup { id, comment } => {
            at(Method::Put, "groups", id.as_str()).with("comment", comment)
        }
        AccountAction::DeleteGroup { id } => at(Method::Delete, "groups", id.as_str()),
        AccountAction::CreateUser { id, params } => new("users")
            .with("userid", id.as_str())
            .with_all(params, secrets)?,
        AccountAction::UpdateUser { id, set } => {
            at(Method::Put, "users", id.as_str()).with_all(set, secrets)?
        }
        AccountAction::DeleteUser { id } => at(Method::Delete, "users", id.as_str()),
        AccountAction::CreateToken {
            id,
            params,
            secret_file: _,
        } => token(Method::Post, id).with_all(params, secrets)?,
        AccountAction::UpdateToken { id, set, delete } => token(Method::Put, id)
            .with_all(set, secrets)?
            .with_some("delete", (!delete.is_empty()).then(|| join(delete))),
        AccountAction::DeleteToken { id } => token(Method::Delete, id),
        AccountAction::CreateRole { id, privileges } => new("roles")
            .with("roleid", id.as_str())
            .with("privs", join(privileges)),
        AccountAction::UpdateRole { id, privileges } => {
            at(Method::Put, "roles", id.as_str()).with("privs", join(privileges))
        }
        AccountAction::DeleteRole { id } => at(Method::Delete, "roles", id.as_str()),
        AccountAction::CreateRealm {
            id,
            realm_type,
            params,
        } => new("domains")
            .with("realm", id.as_str())
            .with("type", realm_type)
            .with_all(params, secrets)?,
        AccountAction::UpdateRealm { id, set, delete } => realm(Method::Put, id)
            .with_all(set, secrets)?
            .with_some("delete", (!delete.is_empty()).then(|| join(delete)))
            .with_some("digest", digest),
        AccountAction::DeleteRealm { id } => realm(Method::Delete, id),
        AccountAction::Grant {
            path,
            subject,
            roles,
            propagate,
        } => entries(path, subject, roles.iter())
            .with("propagate", if *propagate { "1" } else { "0" }),
        AccountAction::Revoke {
            path,
            subject,
            roles,
        } => entries(path, subject, roles.iter()).with("delete", "1"),
    })
}

fn token(method: Method, id: &TokenId) -> Request {
    let path = ["access", "users", id.owner(), "token", id.name()];
    request(method, path, None)
}

fn realm(method: Method, id: &RealmId) -> Request {
    request(method, ["access", "domains", id.as_str()], None)
}

fn entries<'r>(
    path: &AclPath,
    subject: &AclSubject,
    roles: impl Iterator<Item = &'r RoleId>,
) -> Request {
    let subjects = match subject {
        AclSubject::User(_) => "users",
        AclSubject::Group(_) => "groups",
        AclSubject::Token(_) => "tokens",
    };
    request(Method::Put, ["access", "acl"], None)
        .with("path", path.as_str())
        .with(subjects, subject.id())
        .with("roles", join(roles))
}
