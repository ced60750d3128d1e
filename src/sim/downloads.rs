//! `/nodes/{node}/storage/{storage}/download-url` and `oci-registry-pull`: files that nodes download and images that they pull from
//! container registries (PVE::API2::Storage::Status, PVE::Tools `download_file_from_url`). Nothing is connected to: what an address or a
//! registry serves stands in the world file.

use std::collections::BTreeMap;

use super::call::{Answer, ApiError, Call, Method};
use super::params::{Kind, Param};
use super::router::{Access, Route, route};
use super::state::Cluster;
use super::tasks::{TaskLog, TaskSpec};
use super::volumes::{Volume, is_file_based};

const DOWNLOAD: &[Param] = &[
    Param::new("checksum", Kind::Text),
    Param::new(
        "checksum-algorithm",
        Kind::Enum(&["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]),
    ),
    Param::new("compression", Kind::Text),
    Param::required("content", Kind::Enum(&["iso", "vztmpl", "import"])),
    Param::required("filename", Kind::TextMax(255)),
    Param::required("url", Kind::Pattern(is_url)),
    Param::new("verify-certificates", Kind::Boolean),
];

const PULL: &[Param] = &[
    Param::new("filename", Kind::TextMax(255)),
    Param::required("reference", Kind::Pattern(is_reference)),
];

/// What an address serves, or a registry under a reference.
#[derive(Debug, Clone, Default)]
pub struct Download {
    /// Its size in bytes.
    pub size: u64,
    /// Its checksums in lower-case hexadecimal digits, by algorithm.
    pub checksums: BTreeMap<String, String>,
    /// Whether its server's certificate cannot be verified.
    pub untrusted: bool,
}

/// The routes of this room.
#[must_use]
pub fn routes() -> Vec<Route> {
    let may = Access::All("/storage/{storage}", &["Datastore.AllocateTemplate"]);
    vec![
        route(
            Method::Post,
            "/nodes/{node}/storage/{storage}/download-url",
            &[DOWNLOAD],
            may,
            download,
        ),
        route(
            Method::Post,
            "/nodes/{node}/storage/{storage}/oci-registry-pull",
            &[PULL],
            may,
            pull,
        ),
    ]
}

/// Whether an image is named with its tag, and with no digest.
fn is_reference(text: &str) -> bool {
    let Some((name, tag)) = text.rsplit_once(':') else {
        return false;
    };
    let word = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let path = name.rsplit_once(':').map_or(name, |(_, path)| path);
    (1..=128).contains(&tag.len())
        && tag.chars().all(word)
        && !tag.starts_with(['.', '-'])
        && !name.is_empty()
        && path.chars().all(|c| word(c) || c == '/')
}

/// Pulls an image of a registry. The file's name gets its ending here; without one it is made of the reference.
fn pull(cluster: &mut Cluster, call: &Call) -> Answer {
    let (node, storage) = (call.node().to_owned(), call.text("storage").to_owned());
    let on_node = format!("/nodes/{node}");
    cluster.check_all(&call.auth, &on_node, &["Sys.AccessNetwork"])?;
    let section = cluster.usable_storage(&node, &storage)?;
    if !is_file_based(&section.kind) {
        return Err(ApiError::internal(format!(
            "can't upload to storage type '{}', not a file based storage!",
            section.kind
        )));
    }
    if !section.holds("vztmpl") {
        return Err(ApiError::internal(format!(
            "storage '{storage}' is not configured for content-type 'vztmpl'"
        )));
    }
    let reference = call.text("reference").to_owned();
    let stem = match call.get("filename") {
        Some(name) => normalize(name),
        None => normalize(&reference.replace(':', "_")),
    };
    let volid = format!("{storage}:vztmpl/{stem}.tar");
    let stand_in = Volume {
        volid: volid.clone(),
        ..Volume::default()
    };
    let path = cluster.volume_path(&stand_in);
    if cluster.volumes.get(&node, &volid).is_some() {
        return Err(ApiError::internal(format!(
            "refusing to override existing file '{path}'"
        )));
    }
    // What Proxmox VE calls this task is not known; nobody may rely on it.
    let spec = TaskSpec::new(&node, "ocipull", "", &call.auth).lasting(2.0);
    Ok(cluster.spawn(spec, move |cluster, log| {
        log.say(format!("pulling {reference} to {path}"));
        let Some(served) = cluster.downloads.get(&reference).cloned() else {
            return Err(format!("pull failed: manifest of {reference} unknown"));
        };
        let wanted = Placed {
            node: &node,
            volid: &volid,
            path: &path,
            content: "vztmpl",
        };
        wanted.store(cluster, served.size, served.checksums)?;
        log.say("finished");
        Ok(())
    }))
}

/// Where a file comes to lie.
struct Placed<'a> {
    node: &'a str,
    volid: &'a str,
    path: &'a str,
    content: &'a str,
}

impl Placed<'_> {
    /// The storage it comes to lie on, if it has room for it.
    fn room(&self, cluster: &Cluster, size: u64) -> Result<(), String> {
        let storage = self.storage();
        cluster.usable_storage(self.node, storage)?;
        let (total, used) = cluster.usage(self.node, storage);
        if used.saturating_add(size) > total {
            return Err(format!(
                "download failed: Cannot write to '{}' (No space left on device).",
                self.path
            ));
        }
        Ok(())
    }

    fn storage(&self) -> &str {
        self.volid
            .split_once(':')
            .map_or("", |(storage, _)| storage)
    }

    fn store(
        &self,
        cluster: &mut Cluster,
        size: u64,
        checksums: BTreeMap<String, String>,
    ) -> Result<(), String> {
        self.room(cluster, size)?;
        let section = cluster.usable_storage(self.node, self.storage())?;
        let at = if cluster.storage_is_shared(&section) {
            String::new()
        } else {
            self.node.to_owned()
        };
        let ctime = cluster.clock.unix();
        cluster.volumes.insert(Volume {
            volid: self.volid.to_owned(),
            node: at,
            size,
            format: format_of(self.content, self.volid),
            ctime,
            checksums,
            ..Volume::default()
        });
        Ok(())
    }
}

fn is_url(text: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
}

/// `normalize_content_filename`: what is before the last slash goes, and what cannot stand in a name becomes `_`.
fn normalize(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "_.-".contains(c) {
            c
        } else {
            '_'
        }
    };
    last.chars().map(plain).collect()
}

fn endings(content: &str) -> &'static [&'static str] {
    match content {
        "iso" => &[".iso", ".img"],
        "vztmpl" => &[".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2"],
        _ => &[".ova", ".qcow2", ".raw", ".vmdk"],
    }
}

/// The format under which such a file is listed.
fn format_of(content: &str, name: &str) -> String {
    let ending = name.rsplit('.').next().unwrap_or_default();
    match content {
        "iso" => "iso".to_owned(),
        "vztmpl" if ending == "tar" => ending.to_owned(),
        "vztmpl" => format!("t{ending}"),
        _ => ending.to_owned(),
    }
}

/// A download as it was asked for.
struct Wanted {
    node: String,
    volid: String,
    path: String,
    content: String,
    url: String,
    checksum: Option<(String, String)>,
    compression: Option<String>,
    verify: bool,
}

fn download(cluster: &mut Cluster, call: &Call) -> Answer {
    let (node, storage) = (call.node().to_owned(), call.text("storage").to_owned());
    let older = ["Sys.Audit", "Sys.Modify"]
        .iter()
        .all(|privilege| cluster.allowed(&call.auth, "/", privilege));
    if !older {
        cluster.check_all(
            &call.auth,
            &format!("/nodes/{node}"),
            &["Sys.AccessNetwork"],
        )?;
    }
    for (one, other) in [
        ("checksum", "checksum-algorithm"),
        ("checksum-algorithm", "checksum"),
    ] {
        if call.get(one).is_some() && call.get(other).is_none() {
            let text = format!("missing property - '{one}' requires this property");
            return Err(ApiError::parameter(other, text));
        }
    }
    let section = cluster.usable_storage(&node, &storage)?;
    if !is_file_based(&section.kind) {
        return Err(ApiError::internal(format!(
            "can't upload to storage type '{}', not a file based storage!",
            section.kind
        )));
    }
    let content = call.text("content").to_owned();
    if !section.holds(&content) {
        return Err(ApiError::internal(format!(
            "storage '{storage}' is not configured for content-type '{content}'"
        )));
    }
    let name = normalize(call.text("filename"));
    let lower = name.to_ascii_lowercase();
    let fits = |ending: &str| lower.len() > ending.len() && lower.ends_with(ending);
    if !endings(&content).iter().any(|ending| fits(ending)) {
        let text = match content.as_str() {
            "import" => "invalid filename or wrong extension",
            _ => "wrong file extension",
        };
        return Err(ApiError::parameter("filename", text));
    }
    let volid = format!("{storage}:{content}/{name}");
    let stand_in = Volume {
        volid: volid.clone(),
        ..Volume::default()
    };
    let checksum = call.get("checksum-algorithm").zip(call.get("checksum"));
    let wanted = Wanted {
        path: cluster.volume_path(&stand_in),
        volid,
        content,
        url: call.text("url").to_owned(),
        checksum: checksum.map(|(by, sum)| (by.to_owned(), sum.to_ascii_lowercase())),
        compression: call.get("compression").map(str::to_owned),
        verify: call.flag("verify-certificates").unwrap_or(true),
        node: node.clone(),
    };
    let spec = TaskSpec::new(&node, "download", name, &call.auth).lasting(2.0);
    Ok(cluster.spawn(spec, move |cluster, log| fetch(cluster, log, &wanted)))
}

fn fetch(cluster: &mut Cluster, log: &mut TaskLog, wanted: &Wanted) -> Result<(), String> {
    let Wanted {
        node,
        volid,
        path,
        content,
        url,
        ..
    } = wanted;
    if let Some(compression) = &wanted.compression {
        if content != "iso" {
            return Err(format!("decompression not supported for {content}"));
        }
        if !["gz", "lzo", "zst"].contains(&compression.as_str()) {
            return Err("no decompression method found".to_owned());
        }
    }
    log.say(format!("downloading {url} to {path}"));
    if let Some(there) = cluster.volumes.get(node, volid) {
        let Some((algorithm, expected)) = &wanted.checksum else {
            return Err(format!("refusing to override existing file '{path}'"));
        };
        let got = checksum(&there.checksums, algorithm);
        if got == *expected {
            log.say(
                "calculating checksum of existing file...OK, got correct file already, no need to download",
            );
            return Ok(());
        }
        log.say("calculating checksum of existing file...");
        return Err(format!(
            "checksum mismatch: got '{got}' != expect '{expected}', aborting"
        ));
    }
    let Some(served) = cluster.downloads.get(url).cloned() else {
        return Err("download failed: ERROR 404: Not Found.".to_owned());
    };
    if served.untrusted && wanted.verify && url.starts_with("https:") {
        return Err(format!(
            "download failed: To connect to {} insecurely, use `--no-check-certificate'.",
            url.split('/').nth(2).unwrap_or_default()
        ));
    }
    let place = Placed {
        node,
        volid,
        path,
        content,
    };
    place.room(cluster, served.size)?;
    if let Some((algorithm, expected)) = &wanted.checksum {
        let got = checksum(&served.checksums, algorithm);
        if got != *expected {
            log.say("calculating checksum...");
            return Err(format!(
                "checksum mismatch: got '{got}' != expect '{expected}'"
            ));
        }
        log.say("calculating checksum...OK, checksum verified");
    }
    // Of what was decompressed the world says no checksum.
    let checksums = match wanted.compression {
        Some(_) => BTreeMap::new(),
        None => served.checksums,
    };
    place.store(cluster, served.size, checksums)?;
    log.say(format!("download of '{url}' to '{path}' finished"));
    Ok(())
}

/// A checksum that the world says, or a word that is none.
fn checksum(of: &BTreeMap<String, String>, algorithm: &str) -> String {
    let known = of.get(algorithm).map(|sum| sum.to_ascii_lowercase());
    known.unwrap_or_else(|| "not said by the world".to_owned())
}
