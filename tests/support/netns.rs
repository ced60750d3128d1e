//! A node with a bridge, guests (behind firewall bridges of their own where iptables filters), and the world outside, as network
//! namespaces; and a process in each that opens what it is told to open. Everything is made with the programs `ip`, `nft`, or
//! `iptables-restore`, `ip6tables-restore` and `ipset`, and taken away at the end.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Ports that somebody listens on, everywhere.
pub const PORTS: &[u16] = &[
    22, 43, 80, 135, 443, 445, 1900, 3128, 5432, 5900, 8006, 8050, 60_000,
];

/// One end: a namespace with its addresses.
pub struct Place {
    pub name: &'static str,
    pub mac: &'static str,
    /// The interface in the namespace.
    device: &'static str,
    pub addresses: &'static [&'static str],
}

/// The node, the outside, two machines with a firewall, a container with one, a machine without.
pub const PLACES: [Place; 6] = [
    Place {
        name: "node",
        mac: "02:00:00:00:00:11",
        device: "vmbr0",
        addresses: &["10.0.0.11", "2001:db8::11"],
    },
    Place {
        name: "outside",
        mac: "02:00:00:00:00:01",
        device: "eth0",
        addresses: &[
            "10.0.0.50",
            "192.0.2.1",
            "192.0.2.15",
            "192.0.2.66",
            "198.51.100.7",
            "203.0.113.9",
            "2001:db8::50",
            "2001:db8:0:7::1",
            "2001:db9::9",
        ],
    },
    Place {
        name: "vm100",
        mac: "BC:24:11:00:01:00",
        device: "eth0",
        addresses: &["10.0.0.100", "10.0.0.99", "2001:db8::100"],
    },
    Place {
        name: "vm101",
        mac: "BC:24:11:00:01:01",
        device: "eth0",
        addresses: &["10.0.0.101", "2001:db8::101"],
    },
    Place {
        name: "ct200",
        mac: "BC:24:11:00:02:00",
        device: "eth0",
        addresses: &["10.0.0.200", "10.0.0.199", "2001:db8::200"],
    },
    Place {
        name: "vm102",
        mac: "BC:24:11:00:01:02",
        device: "eth0",
        addresses: &["10.0.0.102", "2001:db8::102"],
    },
];

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Result {
    Opened,
    Refused,
    Silence,
    /// Refused by nobody, or refused and opened.
    Odd,
}

/// An attempt to open something.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub tcp: bool,
    pub source: SocketAddr,
    pub dest: SocketAddr,
}

/// What filters in the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    Iptables,
    Nftables,
}

/// The namespaces and the processes in them.
pub struct World {
    filter: Filter,
    prefix: String,
    workers: Vec<Worker>,
    answers: Receiver<(usize, Result)>,
}

struct Worker {
    child: Child,
    stdin: ChildStdin,
}

fn run(program: &str, arguments: &[&str], input: &str) -> std::result::Result<(), String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .map_err(|error| format!("{program}: {error}"))?;
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{program} {}: {said}", arguments.join(" ")))
    }
}

impl World {
    /// Makes the namespaces and starts a process in each. An error says what is not to be had here.
    pub fn new(helper: &str, filter: Filter) -> std::result::Result<Self, String> {
        let programs: &[&str] = match filter {
            Filter::Iptables => &["ip", "iptables-restore", "ip6tables-restore", "ipset"],
            Filter::Nftables => &["ip", "nft"],
        };
        for program in programs {
            run(program, &["--version"], "")
                .or_else(|_| run(program, &["-V"], ""))
                .map_err(|error| format!("{program} is not to be had: {error}"))?;
        }
        let (sender, answers) = channel();
        let mut world = Self {
            filter,
            prefix: format!("bw{}-", std::process::id()),
            workers: Vec::new(),
            answers,
        };
        for place in &PLACES {
            run("ip", &["netns", "add", &world.name(place.name)], "")?;
        }
        world.wire()?;
        for place in &PLACES {
            let mut child = Command::new("ip")
                .args(["netns", "exec", &world.name(place.name)])
                .arg(std::env::current_exe().map_err(|e| e.to_string())?)
                .args([helper, "--exact", "--ignored", "--nocapture"])
                .env("BAILIWICK_REACH_PLACE", place.name)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit())
                .spawn()
                .map_err(|error| error.to_string())?;
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let stdin = child.stdin.take().unwrap();
            world.workers.push(Worker { child, stdin });
            loop {
                match lines.next() {
                    Some(Ok(line)) if line.ends_with("@ready") => break,
                    Some(Ok(_)) => {}
                    _ => return Err(format!("the process in {} did not start", place.name)),
                }
            }
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in lines.map_while(std::result::Result::ok) {
                    let mut words = line.split_whitespace();
                    if words.next() != Some("@") {
                        continue;
                    }
                    let number = words.next().unwrap().parse().unwrap();
                    let result = match words.next().unwrap() {
                        "opened" => Result::Opened,
                        "refused" => Result::Refused,
                        _ => Result::Silence,
                    };
                    if sender.send((number, result)).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(world)
    }

    fn name(&self, place: &str) -> String {
        format!("{}{place}", self.prefix)
    }

    fn node(
        &self,
        program: &str,
        arguments: &[&str],
        input: &str,
    ) -> std::result::Result<(), String> {
        let name = self.name("node");
        let mut all = vec!["netns", "exec", &name, program];
        all.extend(arguments);
        run("ip", &all, input)
    }

    /// The bridge, the firewall bridges, addresses, routes and neighbours. Neighbours are fixed: what is tested is the connection, not
    /// how addresses are found.
    fn wire(&self) -> std::result::Result<(), String> {
        let node = self.name("node");
        let mut text = String::new();
        let mut line = |words: String| text += &(words + "\n");
        let bridge = |name: &str| {
            format!("link add {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
        };
        line(bridge("vmbr0"));
        line(format!("link set vmbr0 address {}", PLACES[0].mac));
        line("link set lo up".into());
        let peer = |inside: &str, name: &str| {
            format!(
                "link add {inside} type veth peer name eth0 netns {}",
                self.name(name)
            )
        };
        line(peer("eth0", "outside"));
        line("link set eth0 master vmbr0".into());
        for (name, port, id) in [
            ("vm100", "tap100i0", "100"),
            ("vm101", "tap101i0", "101"),
            ("ct200", "veth200i0", "200"),
        ] {
            line(peer(port, name));
            if self.filter == Filter::Nftables {
                line(format!("link set {port} master vmbr0"));
                line(format!("link set {port} up"));
                continue;
            }
            line(bridge(&format!("fwbr{id}i0")));
            line(format!(
                "link add fwln{id}i0 type veth peer name fwpr{id}p0"
            ));
            line(format!("link set {port} master fwbr{id}i0"));
            line(format!("link set fwln{id}i0 master fwbr{id}i0"));
            line(format!("link set fwpr{id}p0 master vmbr0"));
            for up in [
                format!("fwbr{id}i0"),
                format!("fwln{id}i0"),
                format!("fwpr{id}p0"),
                port.to_owned(),
            ] {
                line(format!("link set {up} up"));
            }
        }
        line(peer("tap102i0", "vm102"));
        line("link set tap102i0 master vmbr0".into());
        for up in ["tap102i0", "eth0", "vmbr0"] {
            line(format!("link set {up} up"));
        }
        run("ip", &["-n", &node, "-batch", "-"], &text)?;
        for place in &PLACES {
            let mut text = String::from("link set lo up\n");
            let device = place.device;
            let mut line = |words: String| text += &(words + "\n");
            line(format!("link set {device} address {}", place.mac));
            line(format!("link set {device} up"));
            for address in place.addresses {
                let (prefix, flags) = match (address.contains(':'), *address) {
                    (true, _) => (64, " nodad"),
                    (false, address) if address.starts_with("10.0.0.") => (24, ""),
                    _ => (32, ""),
                };
                line(format!("addr add {address}/{prefix} dev {device}{flags}"));
            }
            line(format!("route add default dev {device}"));
            line(format!("route add ::/0 dev {device}"));
            for other in PLACES.iter().filter(|other| other.name != place.name) {
                for address in other.addresses {
                    line(format!(
                        "neigh replace {address} lladdr {} dev {device} nud permanent",
                        other.mac
                    ));
                }
            }
            run("ip", &["-n", &self.name(place.name), "-batch", "-"], &text)?;
        }
        // What is bridged is shown to iptables, but not to nftables, which has tables of its own for bridges.
        let bridged = match self.filter {
            Filter::Iptables => "echo 1 > /proc/sys/net/bridge/$f || exit 1",
            Filter::Nftables => {
                "test ! -e /proc/sys/net/bridge/$f || echo 0 > /proc/sys/net/bridge/$f"
            }
        };
        let sysctl = format!(
            "for f in bridge-nf-call-iptables bridge-nf-call-ip6tables; do {bridged}; done; \
                      for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done; \
                      echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv4/icmp_msgs_per_sec 2>/dev/null; \
                      echo 100000 > /proc/sys/net/ipv4/icmp_msgs_burst 2>/dev/null; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit; true"
        );
        self.node("sh", &["-c", &sysctl], "")
    }

    /// Puts rules into the node: each table at once, sets before them.
    pub fn load(&self, ipsets: &str, v4: &str, v6: &str) -> std::result::Result<(), String> {
        let empty = "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n";
        self.node("iptables-restore", &[], empty)?;
        self.node("ip6tables-restore", &[], empty)?;
        self.node("ipset", &["restore"], ipsets)?;
        self.node("iptables-restore", &[], v4)
            .map_err(|error| format!("{error}\n{v4}"))?;
        self.node("ip6tables-restore", &[], v6)
            .map_err(|error| format!("{error}\n{v6}"))
    }

    /// Puts rules into the node, all at once.
    pub fn load_nft(&self, rules: &str) -> std::result::Result<(), String> {
        self.node("nft", &["-f", "-"], rules)
            .map_err(|error| format!("{error}\n{rules}"))
    }

    /// Whether the node's kernel takes such rules. They are not kept.
    pub fn takes_nft(&self, rules: &str) -> bool {
        self.filter == Filter::Nftables && self.node("nft", &["-c", "-f", "-"], rules).is_ok()
    }

    /// The same as [`Self::rejected`], of nftables' sets.
    fn rejected_by_nft(&self) -> BTreeSet<(bool, SocketAddr)> {
        let output = Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.name("node"),
                "nft",
                "-j",
                "list",
                "ruleset",
            ])
            .output()
            .unwrap();
        let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut rejected = BTreeSet::new();
        for set in all["nftables"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["set"])
        {
            let Some(name) = set["name"]
                .as_str()
                .and_then(|name| name.strip_prefix("rejected-"))
            else {
                continue;
            };
            for element in set["elem"].as_array().into_iter().flatten() {
                let from = &element["concat"];
                let address = from[0].as_str().unwrap().parse().unwrap();
                let port = u16::try_from(from[1].as_u64().unwrap()).unwrap();
                rejected.insert((name.starts_with("tcp"), SocketAddr::new(address, port)));
            }
        }
        rejected
    }

    /// Who was rejected since the rules were loaded: whether TCP, and from where.
    fn rejected(&self) -> BTreeSet<(bool, SocketAddr)> {
        if self.filter == Filter::Nftables {
            return self.rejected_by_nft();
        }
        let output = Command::new("ip")
            .args(["netns", "exec", &self.name("node"), "ipset", "save"])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().filter_map(|line| {
            line.strip_prefix("add rejected-4 ")
                .or_else(|| line.strip_prefix("add rejected-6 "))
        });
        lines
            .map(|line| {
                let (address, rest) = line.split_once(',').unwrap();
                let (protocol, port) = rest.split_once(':').unwrap();
                let port = port.split_whitespace().next().unwrap();
                let from = SocketAddr::new(address.parse().unwrap(), port.parse().unwrap());
                (protocol == "tcp", from)
            })
            .collect()
    }

    /// Opens everything at once and says what became of each. A rejection counts where the node's rules made it: on a bridge a refusal
    /// does not always find its way back.
    pub fn open(&mut self, attempts: &[(usize, Attempt)], wait: Duration) -> Vec<Result> {
        for (number, (place, attempt)) in attempts.iter().enumerate() {
            let worker = &mut self.workers[*place];
            writeln!(
                worker.stdin,
                "{number} {} {} {} {}",
                if attempt.tcp { "tcp" } else { "udp" },
                attempt.source,
                attempt.dest,
                wait.as_millis()
            )
            .unwrap();
            worker.stdin.flush().unwrap();
        }
        let mut results = vec![Result::Silence; attempts.len()];
        let until = Instant::now() + wait + Duration::from_secs(20);
        for _ in attempts {
            let left = until.saturating_duration_since(Instant::now());
            let (number, result) = self.answers.recv_timeout(left).unwrap();
            results[number] = result;
        }
        let rejected = self.rejected();
        for ((_, attempt), result) in attempts.iter().zip(&mut results) {
            let was = rejected.contains(&(attempt.tcp, attempt.source));
            match (was, &result) {
                (true, Result::Silence) => *result = Result::Refused,
                (false, Result::Refused) | (true, Result::Opened) => *result = Result::Odd,
                _ => {}
            }
        }
        results
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for mut worker in self.workers.drain(..) {
            drop(worker.stdin);
            // It ends when its input ends; if not, it is ended.
            for _ in 0..50 {
                if matches!(worker.child.try_wait(), Ok(Some(_))) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
        for place in &PLACES {
            let _ = run("ip", &["netns", "del", &self.name(place.name)], "");
        }
    }
}

/// What the process in a namespace does: listens, and opens what its input says.
pub fn work() {
    let Ok(name) = std::env::var("BAILIWICK_REACH_PLACE") else {
        return;
    };
    let place = PLACES.iter().find(|place| place.name == name).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (sender, mut jobs) = tokio::sync::mpsc::unbounded_channel::<String>();
    std::thread::spawn(move || {
        for line in std::io::stdin()
            .lock()
            .lines()
            .map_while(std::result::Result::ok)
        {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    runtime.block_on(async move {
        for address in place.addresses {
            let address: IpAddr = address.parse().unwrap();
            for port in PORTS {
                listen(SocketAddr::new(address, *port)).await;
            }
        }
        say("@ready");
        while let Some(job) = jobs.recv().await {
            tokio::spawn(async move {
                let words: Vec<&str> = job.split_whitespace().collect();
                let attempt = Attempt {
                    tcp: words[1] == "tcp",
                    source: words[2].parse().unwrap(),
                    dest: words[3].parse().unwrap(),
                };
                let wait = Duration::from_millis(words[4].parse().unwrap());
                let opened = if attempt.tcp {
                    open_tcp(&attempt, wait).await
                } else {
                    open_udp(&attempt, wait).await
                };
                say(&format!("@ {} {opened}", words[0]));
            });
        }
    });
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

async fn listen(at: SocketAddr) {
    let tcp = if at.is_ipv4() {
        tokio::net::TcpSocket::new_v4()
    } else {
        tokio::net::TcpSocket::new_v6()
    }
    .unwrap();
    tcp.set_reuseaddr(true).unwrap();
    tcp.bind(at).unwrap();
    let tcp = tcp.listen(1024).unwrap();
    tokio::spawn(async move { while tcp.accept().await.is_ok() {} });
    let udp = tokio::net::UdpSocket::bind(at).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        loop {
            if let Ok((size, from)) = udp.recv_from(&mut buffer).await {
                let _ = udp.send_to(&buffer[..size], from).await;
            }
        }
    });
}

async fn open_tcp(attempt: &Attempt, wait: Duration) -> &'static str {
    let socket = if attempt.source.is_ipv4() {
        tokio::net::TcpSocket::new_v4()
    } else {
        tokio::net::TcpSocket::new_v6()
    }
    .unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(attempt.source).unwrap();
    match tokio::time::timeout(wait, socket.connect(attempt.dest)).await {
        Ok(Ok(_)) => "opened",
        Ok(Err(_)) => "refused",
        Err(_) => "silence",
    }
}

async fn open_udp(attempt: &Attempt, wait: Duration) -> &'static str {
    let socket = tokio::net::UdpSocket::bind(attempt.source).await.unwrap();
    let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
    if socket.connect(attempt.dest).await.is_err() {
        return "silence";
    }
    // A rule on the way out may answer to the sending itself, with the refusal still to come.
    if let Err(error) = socket.send(b"?").await
        && refused(&error)
    {
        return "refused";
    }
    let mut buffer = [0; 64];
    match tokio::time::timeout(wait, socket.recv(&mut buffer)).await {
        Ok(Ok(_)) => "opened",
        Ok(Err(_)) => "refused",
        Err(_) => "silence",
    }
}
