//! The simulator over real TLS: transport, authentication, access control, storages, pools, tasks, HA, faults.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "sim/client.rs"]
#[allow(dead_code)]
mod client;

use bailiwick::sim::Fault;
use client::{CONTROLLER, LAB, OBSERVER, ROOT, Sim, reply};
use serde_json::{Value, json};

const ALONE: &str = "
nodes: { pve1: { cpus: 2 } }
passwords: { 'aud@pve': right, 'off@pve': right }
secrets: { 'aud@pve!ro': s1, 'aud@pve!own': s2, 'off@pve!tt': s3, 'aud@pve!old': s4 }
files:
  user.cfg: |
    user:aud@pve:1:0::::::
    token:aud@pve!ro:0:0::
    token:aud@pve!own:0:1::
    token:aud@pve!old:1500000000:0::
    user:off@pve:0:0::::::
    token:off@pve!tt:0:0::
    acl:1:/:aud@pve:PVEAuditor:
";

#[tokio::test]
async fn transport_is_that_of_pveproxy() {
    let sim = Sim::lab().await;
    let version = sim.get("/version").await;
    assert_eq!(version.data()["version"], "9.1.8");
    let unknown = sim.get("/no/such/path").await;
    assert_eq!(
        (unknown.status, unknown.reason.as_str()),
        (501, "Method 'GET /no/such/path' not implemented")
    );
    assert_eq!(
        unknown.body,
        json!({ "data": null, "message": "Method 'GET /no/such/path' not implemented" })
    );
    assert_eq!(sim.call("DELETE", "/version", &[]).await.status, 501);
    let extra = sim.call("GET", "/version", &[("foo", "bar")]).await;
    assert_eq!(
        extra.error("foo"),
        "property is not defined in schema and the schema does not allow additional properties"
    );
    assert_eq!(extra.body["message"], "Parameter verification failed.\n");
    let body = reply(
        sim.request("DELETE", "/pools")
            .body("poolid=x")
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(
        (body.status, body.reason.as_str()),
        (501, "Unexpected content for method 'DELETE'")
    );
    let patch = sim.call("PATCH", "/version", &[]).await;
    assert_eq!(
        (patch.status, patch.reason.as_str(), &patch.body),
        (501, "method 'PATCH' not available", &Value::Null)
    );
    let json = sim
        .request("POST", "/pools")
        .json(&json!({ "poolid": "fromjson", "comment": "ü" }))
        .send()
        .await
        .unwrap();
    assert_eq!(reply(json).await.status, 200);
    let form = sim.get("/pools?poolid=fromjson").await;
    assert_eq!(form.data()[0]["comment"], "ü");
    let extjs = sim.http.get(format!(
        "{}/api2/extjs/nodes/nosuch/status",
        sim.running.url()
    ));
    let extjs = extjs
        .header(
            "authorization",
            format!("PVEAPIToken={}={}", CONTROLLER.0, CONTROLLER.1),
        )
        .send()
        .await
        .unwrap();
    let extjs = reply(extjs).await;
    assert_eq!(
        (extjs.status, &extjs.body["success"], &extjs.body["status"]),
        (200, &json!(0), &json!(500))
    );
}

#[tokio::test]
async fn chunked_bodies_are_refused_and_errors_close_the_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let sim = Sim::lab().await;
    let answer = |request: String| {
        let (address, fingerprint) = (sim.running.address(), sim.running.fingerprint().to_owned());
        async move {
            let mut stream = client::tls(address, &fingerprint).await;
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.ok();
            text
        }
    };
    let token = format!(
        "Authorization: PVEAPIToken={}={}",
        CONTROLLER.0, CONTROLLER.1
    );
    let head = format!(
        "Host: pve\r\n{token}\r\nTransfer-Encoding: chunked\r\n\r\n8\r\npoolid=x\r\n0\r\n\r\n"
    );
    let chunked = answer(format!("POST /api2/json/pools HTTP/1.1\r\n{head}")).await;
    assert!(
        chunked.starts_with("HTTP/1.1 501 chunked transfer encoding not supported\r\n"),
        "{chunked}"
    );
    // The stream ends by itself: the server closes after a status of 400 or more.
    let gone = answer(format!(
        "GET /api2/json/pools/nosuch HTTP/1.1\r\nHost: pve\r\n{token}\r\n\r\n"
    ))
    .await;
    assert!(
        gone.starts_with("HTTP/1.1 500 pool 'nosuch' does not exist\r\n"),
        "{gone}"
    );
}

#[tokio::test]
async fn tokens_and_tickets_are_checked() {
    let mut sim = Sim::start(ALONE, 500.0).await;
    for (id, secret) in [
        ("aud@pve!ro", "wrong"),
        ("aud@pve!none", "s1"),
        ("off@pve!tt", "s3"),
        ("aud@pve!old", "s4"),
    ] {
        sim.become_token((id, secret));
        let refused = sim.get("/version").await;
        assert_eq!(
            (refused.status, refused.reason.as_str(), &refused.body),
            (401, "Authentication failed!", &Value::Null)
        );
    }
    let url = format!("{}/api2/json", sim.running.url());
    let nobody = reply(sim.http.get(format!("{url}/version")).send().await.unwrap()).await;
    assert_eq!((nobody.status, nobody.reason.as_str()), (401, "No ticket"));
    let log_in = |password: &'static str| {
        sim.http
            .post(format!("{url}/access/ticket"))
            .form(&[("username", "aud@pve"), ("password", password)])
            .send()
    };
    let wrong = reply(log_in("wrong").await.unwrap()).await;
    assert_eq!(
        (wrong.status, wrong.body["message"].as_str()),
        (401, Some("authentication failure\n"))
    );
    let right = reply(log_in("right").await.unwrap()).await;
    assert_eq!(
        right.data()["cap"]["dc"],
        json!({ "SDN.Audit": 1, "Sys.Audit": 1 })
    );
    let cookie = format!(
        "PVEAuthCookie={}",
        right.data()["ticket"].as_str().unwrap().replace(':', "%3A")
    );
    let csrf = right.data()["CSRFPreventionToken"].as_str().unwrap();
    let post = || {
        sim.http
            .post(format!("{url}/pools"))
            .header("cookie", &cookie)
            .form(&[("poolid", "x")])
    };
    let without = reply(post().send().await.unwrap()).await;
    assert_eq!(
        (without.status, without.reason.as_str()),
        (401, "Permission denied - invalid csrf token")
    );
    let with = reply(
        post()
            .header("CSRFPreventionToken", csrf)
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(
        (with.status, with.reason.as_str()),
        (403, "Permission check failed (/pool/x, Pool.Allocate)")
    );
}

/// "This can also be a valid ticket", the API schema says of the password: so clients renew theirs.
#[tokio::test]
async fn a_ticket_is_renewed_with_itself() {
    let sim = Sim::start(ALONE, 500.0).await;
    let url = format!("{}/api2/json/access/ticket", sim.running.url());
    let log_in = async |user: &str, password: &str| {
        let form = [("username", user), ("password", password)];
        reply(sim.http.post(&url).form(&form).send().await.unwrap()).await
    };
    let first = log_in("aud@pve", "right").await;
    let ticket = first.data()["ticket"].as_str().unwrap().to_owned();
    let renewed = log_in("aud@pve", &ticket).await;
    assert_eq!(renewed.status, 200);
    assert_eq!(renewed.data()["username"], "aud@pve");
    assert_ne!(renewed.data()["ticket"], first.data()["ticket"]);
    // The older ticket goes with the newer CSRF token, as in a client that renews in the middle of a request.
    let cookie = format!("PVEAuthCookie={}", ticket.replace(':', "%3A"));
    let pools = format!("{}/api2/json/pools", sim.running.url());
    let post = sim.http.post(&pools).header("cookie", cookie);
    let csrf = renewed.data()["CSRFPreventionToken"].as_str().unwrap();
    let mixed = post
        .header("CSRFPreventionToken", csrf)
        .form(&[("poolid", "x")]);
    assert_eq!(reply(mixed.send().await.unwrap()).await.status, 403);
    for (user, ticket) in [("off@pve", ticket.as_str()), ("aud@pve", &ticket[1..])] {
        let refused = log_in(user, ticket).await;
        assert_eq!(
            (refused.status, refused.reason.as_str()),
            (401, "authentication failure"),
            "{user}"
        );
    }
}

const REALMS: &str = "
nodes: { pve1: { cpus: 2 } }
passwords: { 'eve@corp': right }
secrets: { 'root@pam!all': s1, 'eve@corp!ci': s2 }
files:
  domains.cfg: |
    ldap: corp
    \tbase_dn dc=corp
    \tserver1 ldap.corp.example
    \tuser_attr uid

  user.cfg: |
    user:root@pam:1:0::::::
    token:root@pam!all:0:0::
    user:eve@corp:1:0::::::
    token:eve@corp!ci:0:0::
    acl:1:/:eve@corp:PVEAuditor:
";

#[tokio::test]
async fn realms_are_made_changed_and_deleted_and_their_users_stay() {
    let mut sim = Sim::start(REALMS, 500.0).await;
    sim.become_token(("root@pam!all", "s1"));
    let call = async |method: &str, path: &str, params: &[(&str, &str)]| {
        sim.call(method, path, params).await
    };
    let url = format!("{}/api2/json/access/ticket", sim.running.url());
    let log_in = async |password: &str| {
        let form = [("username", "eve@corp"), ("password", password)];
        reply(sim.http.post(&url).form(&form).send().await.unwrap()).await
    };
    let first = log_in("right").await;
    assert_eq!(first.status, 200);
    let ticket = first.data()["ticket"].as_str().unwrap().to_owned();
    let sso: &[(&str, &str)] = &[
        ("realm", "sso"),
        ("type", "openid"),
        ("issuer-url", "https://id.example"),
        ("client-id", "pve"),
        ("client-key", "k"),
        ("username-claim", "email"),
        ("default", "1"),
        ("comment", "100 %: all"),
    ];
    assert_eq!(call("POST", "/access/domains", sso).await.status, 200);
    let again = call("POST", "/access/domains", sso).await;
    assert_eq!(
        again.reason,
        "add auth server failed: domain 'sso' already exists"
    );
    let read = call("GET", "/access/domains/sso", &[]).await;
    let digest = read.data()["digest"].as_str().unwrap().to_owned();
    assert_eq!(read.data()["comment"], "100 %: all");
    // Only passwords are kept elsewhere.
    assert_eq!(read.data()["client-key"], "k");
    for (params, why) in [
        (
            &[("server1", "a.example")][..],
            "unexpected property 'server1'",
        ),
        (&[][..], "no options specified"),
        (
            &[
                ("comment", "x"),
                ("digest", "0123456789012345678901234567890123456789"),
            ][..],
            "detected modified configuration",
        ),
        (
            &[("check-connection", "1"), ("comment", "x")][..],
            "can only be set for realms of type 'ldap' or 'ad'",
        ),
    ] {
        let refused = call("PUT", "/access/domains/sso", params).await;
        assert!(refused.reason.contains(why), "{why}: {}", refused.reason);
    }
    let fixed = call("PUT", "/access/domains/sso", &[("username-claim", "x")]).await;
    assert_eq!(fixed.status, 400);
    // The default goes from one to the other; what a realm needs can be taken away.
    let corp: &[(&str, &str)] = &[
        ("default", "1"),
        ("password", "hunter2"),
        ("delete", "user_attr"),
        ("sync-defaults-options", "scope=both,full=1,purge=0"),
        ("tfa", "type=oath,digits=8"),
    ];
    assert_eq!(call("PUT", "/access/domains/corp", corp).await.status, 200);
    let listed = call("GET", "/access/domains", &[]).await;
    let listed = listed.data().as_array().unwrap().clone();
    let ids: Vec<&str> = listed
        .iter()
        .map(|r| r["realm"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["corp", "pam", "pve", "sso"]);
    assert_eq!(
        (&listed[0]["default"], &listed[0]["tfa"]),
        (&json!(1), &json!("oath"))
    );
    assert_eq!(listed[3]["default"], Value::Null);
    let read = call("GET", "/access/domains/corp", &[]).await;
    assert_ne!(read.data()["digest"].as_str().unwrap(), digest);
    assert_eq!(
        read.data()["sync-defaults-options"],
        "remove-vanished=entry;properties,scope=both"
    );
    assert!(read.data().get("password").is_none() && read.data().get("user_attr").is_none());
    let kind = call(
        "POST",
        "/access/domains",
        &[("realm", "xx"), ("type", "pve")],
    )
    .await;
    assert_eq!(
        kind.reason,
        "add auth server failed: unable to create builtin type 'pve'"
    );
    // Nobody is asked whether users come from it. They stay, and so do their tokens; tickets are renewed.
    assert_eq!(
        call("DELETE", "/access/domains/corp", &[]).await.status,
        200
    );
    let gone = call("DELETE", "/access/domains/corp", &[]).await;
    assert!(
        gone.reason
            .contains("authentication domain 'corp' does not exist"),
        "{}",
        gone.reason
    );
    let users = call("GET", "/access/users", &[]).await;
    assert!(users.data().to_string().contains("eve@corp"));
    assert_eq!(log_in("right").await.status, 401);
    assert_eq!(log_in(&ticket).await.status, 200);
    sim.become_token(("eve@corp!ci", "s2"));
    assert_eq!(sim.get("/access/domains").await.status, 200);
}

#[tokio::test]
async fn access_entries_replace_what_comes_from_above() {
    let mut sim = Sim::lab().await;
    sim.become_token(ROOT);
    let held = async |id: &str, path: &str| {
        let reply = sim
            .call(
                "GET",
                "/access/permissions",
                &[("userid", id), ("path", path)],
            )
            .await;
        reply.data()[path]
            .as_object()
            .map(|held| held.keys().cloned().collect::<Vec<_>>())
            .unwrap_or_default()
    };
    assert!(
        held("anna@pve", "/vms/117")
            .await
            .contains(&"VM.Allocate".to_owned()),
        "PVEAdmin on / by group"
    );
    assert!(held("ben@pve", "/vms/117").await.is_empty());
    assert!(
        held("ben@pve", "/vms/121")
            .await
            .contains(&"VM.Config.CPU".to_owned()),
        "through the pool lab"
    );
    let grant = [
        ("path", "/vms/117"),
        ("roles", "PVEAuditor"),
        ("users", "anna@pve"),
    ];
    // A token of root without privilege separation has Permissions.Modify.
    assert_eq!(sim.call("PUT", "/access/acl", &grant).await.status, 200);
    assert!(
        !held("anna@pve", "/vms/117")
            .await
            .contains(&"VM.Allocate".to_owned()),
        "the nearer entry replaces, and no pool adds to it"
    );
    let observer = held("bailiwick@pve!observer", "/vms/117").await;
    assert!(
        observer.contains(&"VM.Audit".to_owned()) && !observer.contains(&"VM.Allocate".to_owned())
    );
    let root = [
        ("path", "/"),
        ("roles", "Administrator"),
        ("tokens", "bailiwick@pve!observer"),
    ];
    assert_eq!(sim.call("PUT", "/access/acl", &root).await.status, 200);
    let observer = held("bailiwick@pve!observer", "/vms/117").await;
    assert!(observer.contains(&"VM.Allocate".to_owned()), "as its owner");
    assert!(
        !observer.contains(&"Permissions.Modify".to_owned()),
        "never more than its owner"
    );
}

#[tokio::test]
async fn privileges_filter_and_refuse() {
    let mut sim = Sim::lab().await;
    sim.become_token(OBSERVER);
    let storage = sim.call("DELETE", "/storage/local-zfs", &[]).await;
    assert_eq!(
        (storage.status, storage.reason.as_str()),
        (
            403,
            "Permission check failed (/storage, Datastore.Allocate)"
        )
    );
    let pool = sim.call("POST", "/pools", &[("poolid", "bad name")]).await;
    assert_eq!(pool.reason, "Permission check failed (, Pool.Allocate)");
    sim.become_token(CONTROLLER);
    let acl = [
        ("path", "/vms"),
        ("roles", "PVEAuditor"),
        ("users", "ben@pve"),
    ];
    assert_eq!(
        sim.call("PUT", "/access/acl", &acl).await.status,
        403,
        "the controller must not hand out privileges"
    );
    let lost = sim.get("/nodes/nosuch/status").await;
    assert_eq!(
        lost.body["message"],
        "hostname lookup 'nosuch' failed - failed to get address info for: nosuch: Name or service not known\n"
    );
}

#[tokio::test]
async fn storages_are_created_changed_and_deleted() {
    let sim = Sim::lab().await;
    let created = sim
        .call(
            "POST",
            "/storage",
            &[
                ("storage", "dir2"),
                ("type", "dir"),
                ("path", "/srv/two"),
                ("content", "images,iso"),
            ],
        )
        .await;
    assert_eq!(created.data(), &json!({ "storage": "dir2", "type": "dir" }));
    let again = sim
        .call(
            "POST",
            "/storage",
            &[("storage", "dir2"), ("type", "dir"), ("path", "/srv/two")],
        )
        .await;
    assert_eq!(
        again.reason,
        "create storage failed: storage ID 'dir2' already defined"
    );
    let missing = sim
        .call("POST", "/storage", &[("storage", "dir3"), ("type", "dir")])
        .await;
    assert_eq!(
        (missing.status, missing.reason.as_str()),
        (500, "missing value for required option 'path'")
    );
    let wrong = sim
        .call(
            "POST",
            "/storage",
            &[
                ("storage", "x"),
                ("type", "bogus"),
                ("path", "relative"),
                ("content", "bogus"),
            ],
        )
        .await;
    assert_eq!(
        wrong.error("storage"),
        "invalid format - storage ID 'x' cannot be shorter than 2 characters\n"
    );
    assert_eq!(
        wrong.error("path"),
        "invalid format - value does not look like a valid absolute path\n"
    );
    assert_eq!(
        wrong.error("content"),
        "invalid format - invalid content type 'bogus'\n"
    );
    assert!(
        wrong
            .error("type")
            .starts_with("value 'bogus' does not have a value in the enumeration 'btrfs, cephfs")
    );
    let list = sim.get("/storage").await;
    let digest = list.data()[0]["digest"].as_str().unwrap().to_owned();
    assert_eq!(
        digest,
        sim.running
            .with(|cluster| cluster.files.digest("storage.cfg"))
    );
    let fixed = sim
        .call("PUT", "/storage/dir2", &[("path", "/other")])
        .await;
    assert_eq!(
        fixed.error("path"),
        "property is not defined in schema and the schema does not allow additional properties"
    );
    assert_eq!(
        sim.call(
            "PUT",
            "/storage/dir2",
            &[("disable", "1"), ("digest", &digest)]
        )
        .await
        .status,
        200
    );
    let stale = sim
        .call(
            "PUT",
            "/storage/dir2",
            &[("disable", "0"), ("digest", &digest)],
        )
        .await;
    assert_eq!(
        stale.reason,
        "update storage failed: detected modified configuration - file changed by other user? Try again."
    );
    let status = sim.get("/nodes/pve1/storage/dir2/status").await;
    assert_eq!(
        (&status.data()["enabled"], &status.data()["total"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(
        sim.get("/nodes/pve1/storage/dir2/content").await.reason,
        "storage 'dir2' is disabled"
    );
    let required = sim
        .call("PUT", "/storage/dir2", &[("delete", "path")])
        .await;
    assert_eq!(
        required.reason,
        "update storage failed: unable to delete required option 'path'"
    );
    sim.running.with(|cluster| {
        let text = cluster.files.read("user.cfg").replace("324", "")
            + "pool:tmp:::dir2:\nacl:1:/storage/dir2:ben@pve:PVEAuditor:\n";
        cluster.files.set("user.cfg", text);
    });
    assert_eq!(
        sim.call("DELETE", "/storage/dir2", &[]).await.data(),
        &Value::Null
    );
    assert!(
        !sim.running
            .with(|cluster| cluster.files.read("user.cfg").contains("dir2")),
        "pool and access entries go with it"
    );
    assert_eq!(
        sim.call("DELETE", "/storage/dir2", &[]).await.reason,
        "delete storage failed: storage 'dir2' does not exist"
    );
    assert_eq!(
        sim.call("DELETE", "/storage/local-zfs", &[]).await.status,
        200,
        "guests that use it are not asked"
    );
}

#[tokio::test]
async fn volumes_are_allocated_counted_and_freed() {
    let sim = Sim::lab().await;
    let path = "/nodes/pve2/storage/local-zfs";
    let used = async || {
        sim.get(&format!("{path}/status")).await.data()["used"]
            .as_u64()
            .unwrap()
    };
    let before = used().await;
    let params = [
        ("filename", "vm-900-disk-0"),
        ("size", "8G"),
        ("vmid", "900"),
    ];
    let made = sim.call("POST", &format!("{path}/content"), &params).await;
    assert_eq!(made.data(), "local-zfs:vm-900-disk-0");
    assert_eq!(used().await - before, 8 << 30);
    assert_eq!(
        sim.call("POST", &format!("{path}/content"), &params)
            .await
            .status,
        500
    );
    let huge = [
        ("filename", "vm-900-disk-1"),
        ("size", "5000G"),
        ("vmid", "900"),
    ];
    assert_eq!(
        sim.call("POST", &format!("{path}/content"), &huge)
            .await
            .reason,
        "zfs error: cannot create 'rpool/data': out of space"
    );
    let elsewhere = sim.get("/nodes/pve1/storage/local-zfs/content").await;
    assert!(
        !elsewhere.data().to_string().contains("vm-900"),
        "not shared between nodes"
    );
    let deleted = sim
        .call(
            "DELETE",
            &format!("{path}/content/local-zfs:vm-900-disk-0"),
            &[],
        )
        .await;
    assert!(
        deleted
            .data()
            .as_str()
            .unwrap()
            .contains(":imgdel:900@local-zfs:bailiwick@pve!controller:"),
        "{deleted:?}"
    );
    assert_eq!(sim.task(&deleted).await, "OK");
    assert_eq!(used().await, before);
    let base = sim
        .call(
            "DELETE",
            "/nodes/pve1/storage/ceph-vm/content/ceph-vm:base-105-disk-0",
            &[],
        )
        .await;
    assert_eq!(
        sim.task(&base).await,
        "base volume 'base-105-disk-0' is still in use by linked clones"
    );
    let kept = sim
        .get("/nodes/pve3/storage/backup/content?content=backup")
        .await;
    assert_eq!(kept.data().as_array().unwrap().len(), 9);
    let gone = sim
        .get("/nodes/pve3/storage/ceph-vm/content/ceph-vm%3Avm-1-disk-9")
        .await;
    assert_eq!(gone.status, 500);
}

#[tokio::test]
async fn pools_nest_and_their_members_move_only_on_request() {
    let sim = Sim::lab().await;
    let post = async |id: &str| sim.call("POST", "/pools", &[("poolid", id)]).await;
    assert_eq!(post("lab/new").await.status, 200);
    assert_eq!(
        post("lab").await.reason,
        "create pool failed: pool 'lab' already exists"
    );
    assert_eq!(
        post("none/x").await.reason,
        "create pool failed: parent pool 'none' does not exist"
    );
    let put = async |params: &[(&str, &str)]| sim.call("PUT", "/pools", params).await;
    let taken = put(&[("poolid", "lab/new"), ("vms", "101")]).await;
    assert_eq!(
        taken.reason,
        "update pools failed: VM 101 belongs already to pool 'prod/web' and 'allow-move' is not set"
    );
    assert_eq!(
        put(&[
            ("poolid", "lab/new"),
            ("vms", "101"),
            ("allow-move", "1"),
            ("storage", "nfs-data")
        ])
        .await
        .status,
        200
    );
    let pool = sim.get("/pools?poolid=lab/new").await;
    let names: Vec<&str> = pool.data()[0]["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["qemu/101", "storage/pve1/nfs-data"]);
    assert_eq!(
        sim.get("/pools/lab/new").await.status,
        501,
        "the older form does not nest"
    );
    let full = sim.call("DELETE", "/pools", &[("poolid", "lab/new")]).await;
    assert_eq!(
        full.reason,
        "delete pool failed: pool 'lab/new' is not empty (contains VM 101)"
    );
    assert_eq!(
        put(&[
            ("poolid", "lab/new"),
            ("vms", "101"),
            ("storage", "nfs-data"),
            ("delete", "1")
        ])
        .await
        .status,
        200
    );
    assert_eq!(
        sim.call("DELETE", "/pools", &[("poolid", "lab/new")])
            .await
            .status,
        200
    );
    assert_eq!(
        sim.get("/pools/nosuch").await.reason,
        "pool 'nosuch' does not exist"
    );
}

#[tokio::test]
async fn tasks_are_listed_logged_and_stopped() {
    let mut sim = Sim::start(LAB, 1.0).await;
    let params = [
        ("filename", "vm-900-disk-0.raw"),
        ("size", "1G"),
        ("vmid", "900"),
    ];
    sim.call("POST", "/nodes/pve1/storage/nfs-data/content", &params)
        .await;
    let started = sim
        .call(
            "DELETE",
            "/nodes/pve1/storage/nfs-data/content/nfs-data:900/vm-900-disk-0.raw",
            &[],
        )
        .await;
    let upid = started.data().as_str().unwrap().to_owned();
    let path = format!("/nodes/pve1/tasks/{upid}");
    assert_eq!(
        sim.get(&format!("{path}/status")).await.data()["status"],
        "running"
    );
    assert_eq!(sim.call("DELETE", &path, &[]).await.status, 200);
    let status = sim.get(&format!("{path}/status")).await;
    assert_eq!(status.data()["exitstatus"], "interrupted by signal");
    assert_eq!(
        (&status.data()["user"], &status.data()["tokenid"]),
        (&json!("bailiwick@pve"), &json!("controller"))
    );
    assert!(
        sim.running.with(|cluster| cluster
            .volumes
            .get("pve1", "nfs-data:900/vm-900-disk-0.raw")
            .is_some()),
        "no effect"
    );
    let again = sim
        .call(
            "DELETE",
            "/nodes/pve1/storage/nfs-data/content/nfs-data:900/vm-900-disk-0.raw",
            &[],
        )
        .await;
    sim.running.advance(10.0);
    assert_eq!(sim.task(&again).await, "OK");
    let log = sim
        .get(&format!(
            "/nodes/pve1/tasks/{}/log",
            again.data().as_str().unwrap()
        ))
        .await;
    assert_eq!(log.body["total"], 2);
    assert_eq!(log.data()[1], json!({ "n": 2, "t": "TASK OK" }));
    assert_eq!(sim.get("/nodes/pve1/tasks?errors=1").await.body["total"], 1);
    assert_eq!(
        sim.get("/cluster/tasks")
            .await
            .data()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        sim.get("/nodes/pve1/tasks/bogus/status")
            .await
            .error("upid"),
        "unable to parse worker upid"
    );
    let unknown = "/nodes/pve1/tasks/UPID%3Apve1%3A0000FFFF%3A00000001%3A60000000%3Aqmstart%3A100%3Aroot%40pam%3A";
    assert_eq!(
        sim.get(&format!("{unknown}/status")).await.error("upid"),
        "no such task"
    );
    sim.become_token(OBSERVER);
    assert_eq!(sim.get("/cluster/tasks").await.status, 200);
}

#[tokio::test]
async fn ha_follows_some_seconds_later() {
    let sim = Sim::start(LAB, 1.0).await;
    let state = async || {
        let current = sim.get("/cluster/ha/status/current").await;
        let entry = current
            .data()
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["sid"] == "vm:112")
            .cloned();
        entry.map(|entry| {
            (
                entry["state"].as_str().unwrap().to_owned(),
                entry["node"].as_str().unwrap().to_owned(),
            )
        })
    };
    assert_eq!(state().await, Some(("started".into(), "pve1".into())));
    assert_eq!(
        sim.call(
            "PUT",
            "/cluster/ha/resources/vm:112",
            &[("state", "stopped")]
        )
        .await
        .status,
        200
    );
    assert!(
        sim.running
            .with(|cluster| cluster.running.contains_key(&112)),
        "not at once"
    );
    sim.running.advance(11.0);
    assert!(
        !sim.running
            .with(|cluster| cluster.running.contains_key(&112))
    );
    assert_eq!(state().await, Some(("stopped".into(), "pve1".into())));
    assert_eq!(
        sim.call(
            "POST",
            "/cluster/ha/resources/vm:112/migrate",
            &[("node", "pve2")]
        )
        .await
        .status,
        200
    );
    sim.running.advance(11.0);
    assert_eq!(state().await, Some(("migrate".into(), "pve1".into())));
    sim.running.advance(6.0);
    assert_eq!(state().await, Some(("stopped".into(), "pve2".into())));
    let twice = sim
        .call("POST", "/cluster/ha/resources", &[("sid", "vm:112")])
        .await;
    assert_eq!(
        twice.reason,
        "create resource failed: resource ID 'vm:112' already defined"
    );
    assert_eq!(
        sim.call("POST", "/cluster/ha/resources", &[("sid", "vm:999")])
            .await
            .reason,
        "resource 'vm:999' does not exist in cluster"
    );
    assert_eq!(
        sim.call("DELETE", "/cluster/ha/resources/vm:112", &[])
            .await
            .status,
        200
    );
    let rules = sim.get("/cluster/ha/rules").await;
    let apart = rules
        .data()
        .as_array()
        .unwrap()
        .iter()
        .find(|rule| rule["rule"] == "balancers-apart")
        .unwrap();
    assert_eq!(apart["resources"], "vm:113");
    assert!(apart["errors"].is_object(), "{apart}");
}

#[tokio::test]
async fn backup_jobs_are_checked() {
    let sim = Sim::lab().await;
    let post = async |params: &[(&str, &str)]| sim.call("POST", "/cluster/backup", params).await;
    assert_eq!(
        post(&[
            ("id", "job1"),
            ("schedule", "sat 03:00"),
            ("vmid", "100,101"),
            ("storage", "backup")
        ])
        .await
        .status,
        200
    );
    assert_eq!(
        post(&[("id", "job1"), ("schedule", "1:00"), ("all", "1")])
            .await
            .reason,
        "Job 'job1' already exists"
    );
    assert!(
        post(&[("schedule", "whenever"), ("all", "1")])
            .await
            .error("schedule")
            .contains("invalid calendar event 'whenever'")
    );
    let none = post(&[("schedule", "1:00")]).await;
    assert_eq!(
        none.body["message"],
        "400 Parameter verification failed.\nvmid: property is missing\n"
    );
    assert_eq!(
        sim.call(
            "PUT",
            "/cluster/backup/job1",
            &[("pool", "lab"), ("enabled", "0")]
        )
        .await
        .status,
        200
    );
    let job = sim.get("/cluster/backup/job1").await;
    assert_eq!(
        (
            &job.data()["pool"],
            &job.data()["vmid"],
            &job.data()["enabled"]
        ),
        (&json!("lab"), &Value::Null, &json!(0))
    );
    assert_eq!(
        sim.call("DELETE", "/cluster/backup/job1", &[]).await.status,
        200
    );
    assert_eq!(
        sim.get("/cluster/backup/job1").await.error("id"),
        "No such job 'job1'"
    );
}

#[tokio::test]
async fn resources_are_stale_until_published() {
    let sim = Sim::start(LAB, 1.0).await;
    let entry = async |id: &str| {
        let resources = sim.get("/cluster/resources?type=vm").await;
        resources
            .data()
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["id"] == id)
            .cloned()
            .unwrap()
    };
    let shop = entry("qemu/104").await;
    assert_eq!(
        (&shop["status"], &shop["maxmem"], &shop["maxdisk"]),
        (&json!("running"), &json!(16u64 << 30), &json!(48u64 << 30))
    );
    assert_eq!(
        (&shop["pool"], &shop["tags"], &shop["name"]),
        (&json!("prod"), &json!("db;prod"), &json!("shop-db"))
    );
    sim.running.with(|cluster| {
        cluster.running.remove(&104);
        let text = cluster
            .files
            .read("nodes/pve1/qemu-server/104.conf")
            .replace("tags: db;prod", "tags: other");
        cluster
            .files
            .set("nodes/pve1/qemu-server/104.conf", text.clone());
        cluster.files.set("nodes/pve1/qemu-server/9000.conf", text);
    });
    let shop = entry("qemu/104").await;
    assert_eq!(
        (&shop["status"], &shop["tags"]),
        (&json!("running"), &json!("other")),
        "status is old, tags are live"
    );
    assert_eq!(entry("qemu/9000").await["status"], "unknown");
    sim.running.advance(11.0);
    assert_eq!(entry("qemu/104").await["status"], "stopped");
    let next = sim.get("/cluster/nextid").await;
    assert_eq!(next.data(), "400");
    assert_eq!(
        sim.get("/cluster/nextid?vmid=104").await.error("vmid"),
        "VM 104 already exists"
    );
}

#[tokio::test]
async fn faults_happen_as_told() {
    let sim = Sim::start(LAB, 500.0).await;
    let tell = |text: &str| sim.running.fault(Fault::parse(text).unwrap());
    tell("status=500 got timeout;method=GET;path=/storage;skip=1");
    assert_eq!(sim.get("/storage").await.status, 200);
    assert_eq!(sim.get("/storage").await.reason, "got timeout");
    assert_eq!(sim.get("/storage").await.status, 200);
    tell("after=595 Connection timed out;method=POST;path=/pools");
    let lost = sim.call("POST", "/pools", &[("poolid", "made")]).await;
    assert_eq!(
        (lost.status, lost.reason.as_str()),
        (595, "Connection timed out")
    );
    assert!(
        sim.running
            .with(|cluster| cluster.users().pools.contains_key("made")),
        "the write happened"
    );
    tell("drop=after;method=POST;path=/pools");
    assert!(
        sim.request("POST", "/pools")
            .form(&[("poolid", "made2")])
            .send()
            .await
            .is_err()
    );
    tell("drop=before;method=POST;path=/pools");
    assert!(
        sim.request("POST", "/pools")
            .form(&[("poolid", "made3")])
            .send()
            .await
            .is_err()
    );
    let pools = sim
        .running
        .with(|cluster| cluster.users().pools.keys().cloned().collect::<Vec<_>>());
    assert!(
        pools.contains(&"made2".to_owned()) && !pools.contains(&"made3".to_owned()),
        "{pools:?}"
    );
    assert_eq!(sim.running.log().last().unwrap().status, 0);
    tell("task=disk is on fire;type=imgdel");
    tell("warn=1;type=imgdel;skip=1");
    let volume = "/nodes/pve1/storage/nfs-data/content/nfs-data:124/vm-124-disk-1.qcow2";
    let burnt = sim.call("DELETE", volume, &[]).await;
    assert_eq!(sim.task(&burnt).await, "disk is on fire");
    let warned = sim.call("DELETE", volume, &[]).await;
    assert_eq!(sim.task(&warned).await, "WARNINGS: 1");
    tell("lock=backup;vmid=104;seconds=100");
    let lock = |text: &str| text.lines().any(|line| line == "lock: backup");
    let file = "nodes/pve1/qemu-server/104.conf";
    assert!(sim.running.with(|cluster| lock(cluster.files.read(file))));
    sim.running.advance(101.0);
    assert!(!sim.running.with(|cluster| lock(cluster.files.read(file))));
    assert!(
        Fault::parse("explode=now")
            .unwrap_err()
            .contains("known are")
    );
}

#[tokio::test]
async fn another_process_can_tell_faults_and_read_the_log() {
    let sim = Sim::lab().await;
    let url = |path: &str| format!("{}/sim/{path}", sim.running.url());
    assert_eq!(sim.http.get(url("log")).send().await.unwrap().status(), 403);
    let control = sim.running.control().to_owned();
    let post = sim
        .http
        .post(url("faults"))
        .header("x-sim-control", &control)
        .body("status=500 no quorum!;path=/version\n");
    assert_eq!(
        reply(post.send().await.unwrap()).await.body,
        json!({ "left": 1 })
    );
    assert_eq!(sim.get("/version").await.reason, "no quorum!");
    let log = reply(
        sim.http
            .get(url("log"))
            .header("x-sim-control", &control)
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(log.body.as_array().unwrap().len(), sim.running.requests());
    assert_eq!(log.body[0]["path"], "/version");
    sim.running.stop().await;
}

#[tokio::test]
async fn a_connection_serves_a_hundred_requests() {
    let sim = Sim::lab().await;
    for _ in 0..130 {
        assert_eq!(sim.get("/version").await.status, 200);
    }
    assert_eq!(sim.running.requests(), 130);
}

/// What the lab's world lets nodes download.
const RESCUE: &str = "https://images.example.org/rescue/13/rescue-13.iso";
const SHA256: &str = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

#[tokio::test]
async fn nodes_download_what_the_world_has_and_overwrite_nothing() {
    let sim = Sim::lab().await;
    let path = "/nodes/pve1/storage/local/download-url";
    let get = async |more: &[(&str, &str)]| {
        let mut params = vec![
            ("content", "iso"),
            ("filename", "a/b c.iso"),
            ("url", RESCUE),
        ];
        for (key, value) in more {
            params.retain(|(other, _)| other != key);
            params.push((key, value));
        }
        sim.call("POST", path, &params).await
    };
    let by = |sum| [("checksum", sum), ("checksum-algorithm", "sha256")];
    let wrong = get(&by("6f70")).await;
    assert!(
        wrong
            .data()
            .as_str()
            .unwrap()
            .contains(":download:b_c.iso:"),
        "{wrong:?}"
    );
    assert_eq!(
        sim.task(&wrong).await,
        format!("checksum mismatch: got '{SHA256}' != expect '6f70'")
    );
    let upper = SHA256.to_ascii_uppercase();
    let right = get(&by(&upper)).await;
    assert_eq!(sim.task(&right).await, "OK");
    let listed = sim
        .get("/nodes/pve1/storage/local/content?content=iso")
        .await;
    let listed = listed.data().as_array().unwrap().clone();
    let file = listed
        .iter()
        .find(|item| item["volid"] == "local:iso/b_c.iso")
        .unwrap();
    assert_eq!(file["size"], 640u64 << 20);
    assert_eq!(file["format"], "iso");
    let elsewhere = sim.get("/nodes/pve2/storage/local/content").await;
    assert!(!elsewhere.data().to_string().contains("b_c.iso"));
    // What is there stays.
    assert_eq!(sim.task(&get(&by(SHA256)).await).await, "OK");
    assert_eq!(
        sim.task(&get(&by("6f70")).await).await,
        format!("checksum mismatch: got '{SHA256}' != expect '6f70', aborting")
    );
    assert_eq!(
        sim.task(&get(&[]).await).await,
        "refusing to override existing file '/var/lib/vz/template/iso/b_c.iso'"
    );
    let nothing = get(&[
        ("url", "https://images.example.org/b"),
        ("filename", "b.img"),
    ])
    .await;
    assert_eq!(
        sim.task(&nothing).await,
        "download failed: ERROR 404: Not Found."
    );
    let packed = get(&[
        ("content", "vztmpl"),
        ("filename", "b.tar.gz"),
        ("compression", "gz"),
    ])
    .await;
    assert_eq!(
        sim.task(&packed).await,
        "decompression not supported for vztmpl"
    );
    // What is refused before anything is done.
    assert_eq!(
        get(&[("filename", "b.exe")]).await.error("filename"),
        "wrong file extension"
    );
    assert!(
        get(&[("checksum", "6f70")])
            .await
            .error("checksum-algorithm")
            .contains("'checksum' requires this property")
    );
    assert!(!get(&[("url", "ftp://a/b")]).await.error("url").is_empty());
    let import = get(&[("content", "import"), ("filename", "b.qcow2")]).await;
    assert_eq!(
        import.reason,
        "storage 'local' is not configured for content-type 'import'"
    );
    let params = [("content", "iso"), ("filename", "b.iso"), ("url", RESCUE)];
    let blocks = "/nodes/pve1/storage/local-zfs/download-url";
    assert_eq!(
        sim.call("POST", blocks, &params).await.reason,
        "can't upload to storage type 'zfspool', not a file based storage!"
    );
}

const VNETS: &str = r#"
nodes: { pve1: {} }
secrets: { 'aud@pve!ro': s1, 'net@pve!one': s2, 'net@pve!none': s3, 'root@pam!test': s4 }
files:
  user.cfg: |
    user:aud@pve:1:0::::::
    token:aud@pve!ro:0:0::
    user:net@pve:1:0::::::
    token:net@pve!one:0:1::
    token:net@pve!none:0:1::
    user:root@pam:1:0::::::
    token:root@pam!test:0:0::
    role:Net:SDN.Allocate:
    acl:1:/:aud@pve:PVEAuditor:
    acl:1:/sdn/zones/z1/web:net@pve,net@pve!one:Net:
  sdn/vnets.cfg: |
    vnet: web
    	zone z1
    	alias new

    vnet: soon
    	zone z1
  sdn/.running-config: '{"vnets": {"ids": {"web": {"type": "vnet", "zone": "z1"}, "gone": {"type": "vnet", "zone": "z2"}}}}'
"#;

#[tokio::test]
async fn vnets_have_firewalls_once_they_run() {
    let mut sim = Sim::start(VNETS, 500.0).await;
    let names = |reply: &client::Reply| -> Vec<String> {
        let items = reply.data().as_array().unwrap();
        let name = |item: &Value| item["vnet"].as_str().unwrap().to_owned();
        items.iter().map(name).collect()
    };
    sim.become_token(("aud@pve!ro", "s1"));
    let list = "/cluster/sdn/vnets";
    assert_eq!(names(&sim.get(list).await), ["soon", "web"]);
    assert_eq!(
        names(&sim.get(&format!("{list}?running=1")).await),
        ["gone", "web"]
    );
    let pending = sim.get(&format!("{list}?pending=1")).await;
    let states: Vec<&Value> = pending
        .data()
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["state"])
        .collect();
    assert_eq!(states, ["deleted", "new", "changed"]);
    assert_eq!(pending.data()[2]["pending"], json!({"alias": "new"}));

    // An auditor reads, and changes nothing.
    let base = "/cluster/sdn/vnets/web/firewall";
    let digest = |reply: &client::Reply| reply.data()["digest"].clone();
    assert!(digest(&sim.get(&format!("{base}/options")).await).is_string());
    assert_eq!(sim.get(&format!("{base}/rules")).await.data(), &json!([]));
    let rule = [("type", "forward"), ("action", "ACCEPT"), ("enable", "1")];
    let refused = sim.call("POST", &format!("{base}/rules"), &rule).await;
    assert_eq!(
        (refused.status, refused.reason.as_str()),
        (
            403,
            "Permission check failed (/sdn/zones/z1/web, SDN.Allocate)"
        )
    );
    // A vnet that is only configured has no firewall yet.
    let soon = sim.get("/cluster/sdn/vnets/soon/firewall/rules").await;
    assert_eq!(
        (soon.status, soon.reason.as_str()),
        (500, "invalid vnet specified")
    );

    // Who may allocate one vnet sees that one, and sets its firewall.
    sim.become_token(("net@pve!one", "s2"));
    assert_eq!(names(&sim.get(list).await), ["web"]);
    let made = sim.call("POST", &format!("{base}/rules"), &rule).await;
    assert_eq!(made.status, 200, "{made:?}");
    let inward = [("type", "in"), ("action", "ACCEPT")];
    let inward = sim.call("POST", &format!("{base}/rules"), &inward).await;
    assert!(inward.error("type").contains("vnet"));
    let options = [("policy_forward", "DROP"), ("enable", "1")];
    let set = sim.call("PUT", &format!("{base}/options"), &options).await;
    assert_eq!(set.status, 200, "{set:?}");
    let other = sim
        .call("PUT", &format!("{base}/options"), &[("policy_in", "DROP")])
        .await;
    assert!(other.error("policy_in").contains("not defined"));
    let file = sim
        .running
        .with(|cluster| cluster.files.read("sdn/firewall/web.fw").to_owned());
    assert!(
        file.contains("policy_forward: DROP") && file.contains("FORWARD ACCEPT"),
        "{file}"
    );
    let moved = sim
        .call("PUT", &format!("{base}/rules/0"), &[("comment", "x")])
        .await;
    assert_eq!(moved.status, 200, "{moved:?}");
    assert_eq!(
        sim.get(&format!("{base}/rules/0")).await.data()["comment"],
        "x"
    );
    sim.become_token(("net@pve!none", "s3"));
    assert_eq!(sim.get(list).await.data(), &json!([]));
    assert_eq!(sim.get(&format!("{base}/rules")).await.status, 403);

    // The index is nobody's but root's own, and no token is that.
    sim.become_token(("root@pam!test", "s4"));
    assert_eq!(sim.get(base).await.status, 403);
    assert_eq!(
        sim.call("DELETE", &format!("{base}/rules/0"), &[])
            .await
            .status,
        200
    );
    assert_eq!(sim.get(&format!("{base}/rules")).await.data(), &json!([]));
}
