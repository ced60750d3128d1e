//! Every tool: what it answers fits its schema, says what it should, and refuses what it must.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::MAIL;
use crate::support::agents::{Agent, Desk, complaints, text_of};

fn output_schemas(desk: &Desk, agent: &Agent) -> BTreeMap<String, Value> {
    let listed = desk
        .play
        .block_on(agent.ask("tools/list", json!({})))
        .unwrap();
    let tools = listed["tools"].as_array().unwrap();
    let name = |tool: &Value| tool["name"].as_str().unwrap().to_owned();
    tools
        .iter()
        .map(|tool| (name(tool), tool["outputSchema"].clone()))
        .collect()
}

#[test]
fn every_tool_answers_as_its_schema_says() {
    let desk = Desk::new();
    let agent = desk.agent("scout");
    let schemas = output_schemas(&desk, &agent);
    assert_eq!(schemas.len(), 15);
    desk.keep();
    let hello = desk.play.block_on(agent.ask(
        "initialize",
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } }),
    ));
    let hello = hello.unwrap();
    assert_eq!(hello["serverInfo"]["name"], "bailiwick");
    assert!(
        hello["instructions"]
            .as_str()
            .unwrap()
            .contains("a person has approved")
    );

    let mut tried = Vec::new();
    let mut ask = |tool: &str, arguments: Value| {
        let result = desk.play.block_on(agent.result(tool, arguments.clone()));
        assert_ne!(result["isError"], true, "{tool} {arguments}: {result}");
        let answer = result["structuredContent"].clone();
        assert_eq!(
            complaints(&schemas[tool], &answer),
            Vec::<String>::new(),
            "{tool} {arguments}"
        );
        assert!(!text_of(&result).is_empty());
        tried.push(tool.to_owned());
        answer
    };

    let all = ask("list_resources", json!({}));
    assert!(all["total"].as_u64().unwrap() > 40);
    assert_eq!(all["unreadableParts"], 0);
    let stopped = ask(
        "list_resources",
        json!({ "kind": "vm", "status": "stopped", "limit": 2 }),
    );
    assert_eq!(stopped["items"].as_array().unwrap().len(), 2);
    let mail = ask("list_resources", json!({ "text": "MAIL" }));
    assert_eq!(mail["items"][0]["id"], "vm/102");
    assert_eq!(mail["items"][0]["document"], Value::Null);
    for id in [
        "vm/102",
        "ct/301",
        "storage/local-zfs",
        "pool/prod",
        "backup-job/nightly-prod",
        "node/pve1",
        "image/pve1/local:iso/proxmox-rescue.iso",
    ] {
        assert_eq!(
            ask("get_resource", json!({ "id": id }))["resource"]["id"],
            id
        );
    }
    let images = ask("list_resources", json!({ "kind": "image" }));
    let of_nfs = images["items"].as_array().unwrap();
    assert!(
        of_nfs
            .iter()
            .any(|item| item["id"] == "image/nfs-data:iso/virtio-win-0.1.271.iso"),
        "{images}"
    );
    assert_eq!(
        ask("list_resources", json!({ "kind": "snapshot" }))["total"],
        4
    );
    let mail = ask("get_resource", json!({ "id": "vm/102" }));
    let backups = &mail["live"]["untrusted"]["backups"];
    assert_eq!(
        (&backups[0]["storage"], &backups[0]["count"]),
        (&json!("backup"), &json!(2)),
        "{mail}"
    );
    assert_eq!(
        ask("explain_kind", json!({}))["kinds"]
            .as_array()
            .unwrap()
            .len(),
        18
    );
    let explained = ask(
        "explain_kind",
        json!({ "path": "VirtualMachine.memory", "schema": true }),
    );
    assert!(
        explained["schema"].is_object() && explained["text"].as_str().unwrap().contains("memory")
    );
    assert_eq!(ask("validate", json!({ "documents": MAIL }))["valid"], true);
    let pool = |n| {
        format!(
            "---\napiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata: {{name: p{n}}}\nspec: {{}}\n"
        )
    };
    let pools: String = (0..250).map(pool).collect();
    let first = ask("validate", json!({ "documents": pools }));
    let next = ask(
        "validate",
        json!({ "documents": pools, "cursor": first["nextCursor"] }),
    );
    let page = |answer: &Value| answer["documents"].as_array().unwrap().len();
    assert_eq!((page(&first), page(&next)), (200, 50));
    assert_eq!(
        (&first["count"], &next["nextCursor"]),
        (&json!(250), &Value::Null)
    );
    let wrong = ask(
        "validate",
        json!({ "documents": MAIL.replace("memory", "memry") }),
    );
    assert_eq!(
        (&wrong["valid"], &wrong["total"]),
        (&json!(false), &json!(1))
    );
    assert_eq!(wrong["mistakes"][0]["line"], 4);

    let dry = ask("plan", json!({ "documents": MAIL }));
    assert_eq!(dry["plan"]["state"], Value::Null);
    assert_eq!(ask("list_plans", json!({}))["total"], 0);
    let submitted = ask("submit", json!({ "documents": MAIL }));
    assert_eq!(submitted["outcome"], "planned");
    assert_eq!(submitted["plan"]["plan"], dry["plan"]["plan"]);
    assert_eq!(submitted["plan"]["needs"][0]["code"], "approval_missing");
    let plan = submitted["plan"]["plan"].as_str().unwrap().to_owned();
    assert!(submitted["next"].as_str().unwrap().contains(&plan));
    let mine = ask("list_plans", json!({ "mine": true, "state": "waiting" }));
    assert_eq!(mine["items"][0]["submitter"], "agent:scout");
    let got = ask("get_plan", json!({ "plan": plan }));
    assert_eq!(got["steps"]["total"], 1);
    for section in [
        "impacts",
        "steps",
        "changes",
        "unknowns",
        "improvements",
        "notes",
        "documents",
    ] {
        let part = ask(
            "get_plan",
            json!({ "plan": plan, "section": section, "limit": 1 }),
        );
        assert_eq!(part[section]["total"], got[section]["total"]);
        assert!(part[section]["items"].as_array().unwrap().len() <= 1);
    }
    let waited = ask("wait_for_plan", json!({ "id": plan, "timeoutSeconds": 0 }));
    assert_eq!(
        (&waited["state"], &waited["reached"]),
        (&json!("waiting"), &json!(false))
    );

    // A person approves and runs it; the agent sees how it ends.
    desk.play.approve(&plan).ends(0);
    let waited = ask("wait_for_plan", json!({ "id": submitted["submission"] }));
    assert_eq!(
        (&waited["state"], &waited["reached"]),
        (&json!("approved"), &json!(true))
    );
    desk.play.run(&plan).ends(0);
    desk.keep();
    let waited = ask("wait_for_plan", json!({ "id": plan, "until": "ended" }));
    assert_eq!(waited["state"], "applied");
    assert_eq!(
        (&waited["run"]["state"], &waited["run"]["stepsDone"]),
        (&json!("ok"), &json!(1))
    );
    let documents = ask("list_resources", json!({ "kind": "document" }));
    assert_eq!(documents["items"][0]["object"], "vm/102");
    let whole = ask("get_resource", json!({ "id": "VirtualMachine/mail" }));
    assert_eq!(whole["document"]["source"], "agent:scout");
    assert!(whole["live"].is_object());
    assert_eq!(
        ask("submit", json!({ "documents": MAIL }))["outcome"],
        "accepted"
    );

    assert_eq!(ask("list_drift", json!({}))["total"], 0);
    desk.play.edit(102, "memory: 6144", "memory: 2048");
    desk.keep();
    let drift = ask("list_drift", json!({}));
    assert_eq!(drift["items"][0]["object"], "vm/102");
    assert_eq!(drift["items"][0]["untrusted"]["before"], "2048");
    let found = ask("diagnose", json!({ "target": "vm/102" }));
    let codes: Vec<&str> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["code"].as_str().unwrap())
        .collect();
    assert!(codes.contains(&"drifted"), "{codes:?}");
    for target in ["cluster", "node/pve1", "storage/ceph-vm"] {
        ask("diagnose", json!({ "target": target, "limit": 5 }));
    }
    desk.play.edit(102, "memory: 2048", "memory: 6144");
    desk.keep();

    let may = ask(
        "can",
        json!({ "principal": "ben@pve", "privilege": "VM.PowerMgmt", "path": "vms//103/", "after": plan }),
    );
    let why = &may["now"]["untrusted"]["because"][0];
    assert_eq!(
        (&may["path"], &may["now"]["verdict"], why),
        (
            &json!("/vms/103"),
            &json!("yes"),
            &json!("PVEVMAdmin for group developers on /pool/lab, through pool lab")
        )
    );
    assert_eq!(may["after"]["verdict"], "yes", "{may}");
    assert!(plan.starts_with(may["after"]["plan"].as_str().unwrap()));
    let opens = ask(
        "reach",
        json!({ "from": "any", "to": "vm/102:22", "after": plan }),
    );
    for judged in [&opens["now"], &opens["after"]] {
        assert_eq!(
            (&judged["verdict"], &judged["total"]),
            (
                &json!("yes"),
                &json!(judged["parts"].as_array().unwrap().len())
            ),
            "{opens}"
        );
    }

    let undo = ask("propose_undo", json!({ "plan": plan }));
    assert_eq!(
        (&undo["outcome"], &undo["plan"]["because"]),
        (&json!("planned"), &json!("undo"))
    );
    let back = ask(
        "withdraw",
        json!({ "id": undo["plan"]["plan"], "reason": "not needed" }),
    );
    assert_eq!(back["state"], "withdrawn");
    tried.sort();
    tried.dedup();
    assert_eq!(tried.len(), 15);
    assert_eq!(desk.play.writes().len(), 1);
}

#[test]
fn a_wrong_argument_is_named_and_an_unknown_kind_answered_with_those_there_are() {
    let desk = Desk::new();
    let agent = desk.agent("scout");
    desk.keep();
    let said = |tool: &str, arguments: Value| {
        let error = desk.call(&agent, tool, arguments).unwrap_err();
        let word = |name: &str| error[name].as_str().unwrap().to_owned();
        (word("code"), word("message"))
    };
    let refused = |message: &str| ("invalid_arguments".to_owned(), message.to_owned());
    assert_eq!(
        said("submit", json!({})),
        refused("submit needs `documents`, a string")
    );
    assert_eq!(
        said("list_plans", json!({ "limit": "ten" })),
        refused("`limit` is a string; it takes a whole number")
    );
    assert_eq!(
        said("explain_kind", json!({ "kind": "Pool" })),
        refused("explain_kind takes no `kind`; it takes path, schema")
    );
    let all = [
        "VirtualMachine",
        "Container",
        "Storage",
        "Pool",
        "BackupJob",
        "Snapshot",
        "ReplicationJob",
        "Image",
        "FirewallAlias",
        "IpSet",
        "SecurityGroup",
        "Firewall",
        "Group",
        "User",
        "Role",
        "AccessRule",
        "ApiToken",
        "Realm",
    ];
    for path in ["Nonsense", "Deployment.spec", "VirtualMachin", ""] {
        let (code, message) = said("explain_kind", json!({ "path": path }));
        assert_eq!(code, "not_found");
        for kind in all {
            assert!(message.contains(kind), "{path}: {message}");
        }
    }
    // What may be left out may be `null`.
    let kinds = desk.call(&agent, "explain_kind", json!({ "path": null }));
    assert_eq!(kinds.unwrap()["kinds"].as_array().unwrap().len(), all.len());
    assert_eq!(desk.play.writes().len(), 0);
}

#[test]
fn what_is_wrong_is_said_in_stable_words() {
    let desk = Desk::new();
    let agent = desk.agent("scout");
    let other = desk.agent("other");
    desk.keep();
    let code = |tool: &str, arguments: Value| {
        let error = desk.call(&agent, tool, arguments.clone()).unwrap_err();
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert!(
            error["next"].as_str().unwrap().ends_with('.'),
            "{tool} {arguments}"
        );
        error["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        code("submit", json!({ "documents": MAIL, "force": true })),
        "invalid_arguments"
    );
    assert_eq!(code("submit", json!({})), "invalid_arguments");
    assert_eq!(
        code("submit", json!({ "documents": 7 })),
        "invalid_arguments"
    );
    assert_eq!(
        code("submit", json!({ "documents": "" })),
        "invalid_arguments"
    );
    assert_eq!(
        code("submit", json!({ "documents": "a: [" })),
        "invalid_document"
    );
    assert_eq!(
        code("submit", json!({ "documents": MAIL, "cluster": "moon" })),
        "not_found"
    );
    assert_eq!(
        code("submit", json!({ "documents": MAIL, "prune": true })),
        "refused_by_policy"
    );
    assert_eq!(
        code("plan", json!({ "documents": MAIL.replace("102", "9") })),
        "invalid_document"
    );
    let shrink = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: mail}\nspec: {vmid: 102, disks: {scsi0: {size: 1Gi}}}\n";
    assert_eq!(
        code("submit", json!({ "documents": shrink })),
        "cannot_plan"
    );
    assert_eq!(
        code("get_plan", json!({ "plan": "sha256:0000" })),
        "not_found"
    );
    assert_eq!(code("get_plan", json!({ "plan": "zzzz" })), "not_found");
    assert_eq!(
        code("get_resource", json!({ "id": "vm/99999" })),
        "not_found"
    );
    assert_eq!(
        code("get_resource", json!({ "id": "nonsense" })),
        "not_found"
    );
    assert_eq!(
        code("explain_kind", json!({ "path": "Nonsense" })),
        "not_found"
    );
    assert_eq!(code("diagnose", json!({ "target": "moon/1" })), "not_found");
    assert_eq!(
        code("list_plans", json!({ "cursor": "AAAA" })),
        "invalid_arguments"
    );
    assert_eq!(
        code("wait_for_plan", json!({ "id": "sub_0000" })),
        "not_found"
    );
    // Plans of others.
    let theirs = desk
        .call(&other, "submit", json!({ "documents": MAIL }))
        .unwrap();
    let plan = theirs["plan"]["plan"].clone();
    assert_eq!(
        code("withdraw", json!({ "id": plan, "reason": "mine now" })),
        "refused_by_policy"
    );
    assert_eq!(code("propose_undo", json!({ "plan": plan })), "wrong_state");
    let hash = plan.as_str().unwrap();
    desk.play
        .bailiwick(&["reject", hash, "--reason", "no", "--as", "person:anna"])
        .ends(0);
    let refused = desk
        .call(&other, "withdraw", json!({ "id": plan, "reason": "late" }))
        .unwrap_err();
    assert_eq!(refused["code"], "wrong_state");
    let waited = desk
        .call(&agent, "wait_for_plan", json!({ "id": plan }))
        .unwrap();
    assert_eq!(
        (&waited["state"], &waited["needs"][0]["code"]),
        (&json!("rejected"), &json!("rejected"))
    );
    // A document of another source.
    desk.play.document("mail", MAIL);
    desk.play.carry_out();
    desk.keep();
    let more = MAIL.replace("6Gi", "7Gi");
    assert_eq!(
        code("submit", json!({ "documents": more })),
        "conflict_source"
    );
    // No such tool, no such method: errors of the protocol.
    let unknown = desk
        .play
        .block_on(agent.ask("tools/call", json!({ "name": "approve", "arguments": {} })));
    assert_eq!(unknown.unwrap_err()["code"], -32602);
    let unknown = desk.play.block_on(agent.ask("plans/approve", json!({})));
    assert_eq!(unknown.unwrap_err()["code"], -32601);
    desk.play
        .bailiwick(&["freeze", "--reason", "audit", "--as", "person:anna"])
        .ends(0);
    let frozen = desk
        .call(
            &other,
            "plan",
            json!({ "documents": MAIL.replace("mail", "mail2").replace("102", "103") }),
        )
        .unwrap();
    let needs = frozen["plan"]["needs"].to_string();
    assert!(
        needs.contains("frozen") && needs.contains("audit"),
        "{needs}"
    );
}

#[test]
fn an_agent_that_asks_too_often_is_told_to_wait() {
    let mut options = crate::support::agents::options();
    options.mcp.budget = bailiwick::mcp::Budget {
        most: 3.0,
        per_second: 0.5,
        waiting: 1,
    };
    let desk = Desk::with(Default::default(), options);
    let (agent, other) = (desk.agent("scout"), desk.agent("other"));
    for _ in 0..3 {
        desk.call(&agent, "explain_kind", json!({})).unwrap();
    }
    let refused = desk.call(&agent, "explain_kind", json!({})).unwrap_err();
    assert_eq!(refused["code"], "rate_limited");
    assert!(refused["retryAfterSeconds"].as_f64().unwrap() <= 2.0);
    desk.call(&other, "explain_kind", json!({})).unwrap();
}

#[test]
fn resources_and_prompts() {
    let desk = Desk::new();
    let agent = desk.agent("scout");
    let submitted = desk
        .call(&agent, "submit", json!({ "documents": MAIL }))
        .unwrap();
    let plan = submitted["plan"]["plan"].as_str().unwrap();
    let ask = |method: &str, params: Value| desk.play.block_on(agent.ask(method, params));
    let listed = ask("resources/list", json!({})).unwrap();
    let addresses: Vec<&str> = listed["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["uri"].as_str().unwrap())
        .collect();
    assert!(addresses.contains(&"bailiwick://kind/Pool"));
    let address = format!("bailiwick://plan/{plan}");
    assert!(addresses.contains(&address.as_str()));
    for address in addresses {
        let read = ask("resources/read", json!({ "uri": address })).unwrap();
        assert!(!read["contents"][0]["text"].as_str().unwrap().is_empty());
    }
    assert_eq!(
        ask("resources/templates/list", json!({})).unwrap()["resourceTemplates"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    for address in [
        "bailiwick://plan/ffff",
        "file:///etc/passwd",
        "bailiwick://document/lab/Pool/none",
        "bailiwick://document/lab/x",
    ] {
        assert!(
            ask("resources/read", json!({ "uri": address })).is_err(),
            "{address}"
        );
    }
    assert_eq!(
        ask("prompts/list", json!({})).unwrap()["prompts"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let prompt = ask(
        "prompts/get",
        json!({ "name": "propose_change", "arguments": { "wish": "more memory for mail" } }),
    )
    .unwrap();
    assert!(
        prompt["messages"][0]["content"]["text"]
            .as_str()
            .unwrap()
            .contains("more memory for mail")
    );
    assert!(ask("prompts/get", json!({ "name": "propose_change" })).is_err());
    assert!(ask("prompts/get", json!({ "name": "approve" })).is_err());
}
