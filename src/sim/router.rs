//! From method and path to a route: which parameters it takes, who may call it, what handles it.
//!
//! Routes are data; each room of the simulator has a function `routes()` that lists its own.

use std::collections::BTreeMap;

use super::call::{Answer, ApiError, Call, Method};
use super::params::{self, Param};
use super::state::Cluster;

/// A handler: runs under the cluster's one lock, so it is one atomic step. Long work becomes a task
/// ([`super::tasks::TaskSpec`]).
pub type Handler = fn(&mut Cluster, &Call) -> Answer;

/// Who may call a route. `{name}` in a path is replaced by the path variable or parameter of that name.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    /// Anyone, also without credentials.
    World,
    /// Anyone with valid credentials; the handler checks or filters further.
    User,
    /// Only root@pam with a ticket.
    Root,
    /// Any one of these privileges on the path.
    Any(&'static str, &'static [&'static str]),
    /// All of these privileges on the path.
    All(&'static str, &'static [&'static str]),
}

/// One method on one path.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path below `/api2/json`, such as `/nodes/{node}/qemu/{vmid}/config`. Variables hold one segment;
    /// `{name*}` as the last holds the rest of the path.
    pub path: &'static str,
    /// Tables of its parameters, path variables left out (they are checked by `path_variable`).
    pub params: &'static [&'static [Param]],
    /// Who may call it.
    pub access: Access,
    /// What answers.
    pub handler: Handler,
}

/// Shorthand for a [`Route`].
#[must_use]
pub const fn route(
    method: Method,
    path: &'static str,
    params: &'static [&'static [Param]],
    access: Access,
    handler: Handler,
) -> Route {
    Route {
        method,
        path,
        params,
        access,
        handler,
    }
}

/// All routes, found by walking segments.
#[derive(Debug, Default)]
pub struct Router {
    root: Segment,
}

#[derive(Debug, Default)]
struct Segment {
    fixed: BTreeMap<&'static str, Segment>,
    variable: Option<(&'static str, Box<Segment>)>,
    rest: Option<(&'static str, BTreeMap<Method, Route>)>,
    routes: BTreeMap<Method, Route>,
}

impl Router {
    /// A router over these routes; a later route replaces an earlier one of the same method and path.
    #[must_use]
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        let mut router = Self::default();
        for route in routes {
            router.add(route);
        }
        router
    }

    fn add(&mut self, route: Route) {
        let mut at = &mut self.root;
        for part in route.path.split('/').filter(|part| !part.is_empty()) {
            match part
                .strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'))
            {
                None => at = at.fixed.entry(part).or_default(),
                Some(name) => match name.strip_suffix('*') {
                    None => at = &mut at.variable.get_or_insert_with(|| (name, Box::default())).1,
                    Some(name) => {
                        at.rest
                            .get_or_insert_with(|| (name, BTreeMap::new()))
                            .1
                            .insert(route.method, route);
                        return;
                    }
                },
            }
        }
        at.routes.insert(route.method, route);
    }

    /// The route for a decoded path and the values of its variables. Segments come split and decoded, so that a
    /// `%2F` inside one does not split it.
    #[must_use]
    pub fn find(
        &self,
        method: Method,
        segments: &[String],
    ) -> Option<(Route, BTreeMap<String, String>)> {
        let mut at = &self.root;
        let mut variables = BTreeMap::new();
        for (index, part) in segments.iter().enumerate() {
            if let Some(next) = at.fixed.get(part.as_str()) {
                at = next;
            } else if let Some((name, next)) = &at.variable {
                variables.insert((*name).to_owned(), part.clone());
                at = next;
            } else if let Some((name, routes)) = &at.rest {
                variables.insert(
                    (*name).to_owned(),
                    segments.get(index..).unwrap_or_default().join("/"),
                );
                return routes.get(&method).map(|route| (*route, variables));
            } else {
                return None;
            }
        }
        at.routes.get(&method).map(|route| (*route, variables))
    }
}

/// Runs a request: permission, then the node it is for, then parameters, then the handler — Proxmox VE's order. Whether there is a
/// quorum, which each handler of Proxmox VE finds out when it writes, is looked at right before the handler.
///
/// # Errors
/// What the first failing check or the handler answers.
pub fn run(
    cluster: &mut Cluster,
    route: &Route,
    variables: BTreeMap<String, String>,
    mut call: Call,
) -> Answer {
    let sent = std::mem::take(&mut call.params);
    call.params = sent.clone();
    call.params.extend(variables.clone());
    // A call that this version does not have is not known to any check.
    let edition = cluster.edition.verify(route, &sent);
    if let Err(error) = &edition
        && error.status == 501
    {
        return edition.map(|()| serde_json::Value::Null);
    }
    permitted(cluster, route.access, &call)?;
    if let Some(node) = variables.get("node") {
        reach(cluster, node)?;
    }
    let mut errors = BTreeMap::new();
    for (name, value) in &variables {
        if let Err(complaint) = path_variable(name, value) {
            errors.insert(name.clone(), complaint);
        }
    }
    for checked in [edition, params::verify(route.params, &sent)] {
        let Err(error) = checked else { continue };
        errors.extend(error.errors);
    }
    if !errors.is_empty() {
        return Err(ApiError::parameters(errors));
    }
    let writes = call.method != Method::Get && route.path != "/access/ticket";
    if writes && !cluster.quorate() {
        return Err(ApiError::internal(NO_QUORUM));
    }
    let answer = (route.handler)(cluster, &call);
    if let (true, Ok(data)) = (writes, &answer)
        // What a task does counts when it is done.
        && !data.as_str().is_some_and(|text| text.starts_with("UPID:"))
    {
        cluster.count_effect(
            &call.auth.id,
            format!("{} {}", call.method.name(), call.path),
        );
    }
    answer
}

/// What a write is answered without quorum, and what a task fails with.
pub const NO_QUORUM: &str = "cluster not ready - no quorum?";

/// The node must be a member, and up: pveproxy looks its name up and forwards the request to it.
fn reach(cluster: &Cluster, node: &str) -> Result<(), ApiError> {
    match cluster.nodes.get(node) {
        Some(found) if found.online => Ok(()),
        Some(_) => Err(ApiError {
            bare: true,
            ..ApiError::new(595, "No route to host")
        }),
        None => Err(ApiError::internal(format!(
            "hostname lookup '{node}' failed - failed to get address info for: {node}: Name or service not known"
        ))),
    }
}

fn permitted(cluster: &Cluster, access: Access, call: &Call) -> Result<(), ApiError> {
    match access {
        Access::World | Access::User => Ok(()),
        Access::Root if call.auth.is_root() => Ok(()),
        Access::Root => Err(ApiError::new(
            403,
            "Permission check failed (user != root@pam)",
        )),
        Access::Any(template, privileges) => {
            cluster.check_any(&call.auth, &fill(template, call), privileges)
        }
        Access::All(template, privileges) => {
            cluster.check_all(&call.auth, &fill(template, call), privileges)
        }
    }
}

fn fill(template: &str, call: &Call) -> String {
    template
        .split('/')
        .map(|part| {
            match part
                .strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'))
            {
                Some(name) => call.text(name),
                None => part,
            }
        })
        .collect::<Vec<_>>()
        .join("/")
}

fn path_variable(name: &str, value: &str) -> Result<(), String> {
    match name {
        "vmid" => params::check(&super::formats::VMID, value),
        "storage" => params::check(&params::Kind::Form(super::formats::storage_id), value),
        "tokenid" => params::check(&params::Kind::Pattern(super::accounts::is_token), value),
        _ => Ok(()),
    }
}
