//! Recorded answers of a real Proxmox VE, where a folder with them is at hand; tests only.

use std::io::Read as _;

/// The folder with recordings: `$BAILIWICK_SHARED`, or `../shared`. Says so on standard error if there is none.
#[allow(clippy::print_stderr)]
pub fn folder() -> Option<std::path::PathBuf> {
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("BAILIWICK_SHARED")
        .map_or(own, Into::into)
        .join("proxmox/recorded");
    if !folder.is_dir() {
        eprintln!(
            "NOTICE: no recordings at {}; passed without them",
            folder.display()
        );
        return None;
    }
    Some(folder)
}

/// Configuration files of a recorded cluster: path and text.
pub fn files() -> Option<Vec<(String, String)>> {
    let packed = std::fs::read(folder()?.join("world-A-files.tar.gz")).ok()?;
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_end(&mut tar)
        .ok()?;
    let mut files = Vec::new();
    let mut rest = tar.as_slice();
    // A tar file is blocks of 512 bytes: a header with the name at 0 and the size in octal at 124, then the content.
    while let Some((header, body)) = rest.split_at_checked(512) {
        let text = |from: usize, to: usize| {
            String::from_utf8_lossy(header.get(from..to).unwrap_or_default())
                .trim_end_matches('\0')
                .to_owned()
        };
        let size = usize::from_str_radix(text(124, 135).trim(), 8).unwrap_or(0);
        let name = text(0, 100);
        if name.ends_with(".conf") && name.contains("/nodes/") && !name.contains("firewall") {
            files.push((
                name,
                String::from_utf8_lossy(body.get(..size).unwrap_or_default()).into_owned(),
            ));
        }
        rest = body.get(size.div_ceil(512) * 512..).unwrap_or_default();
    }
    Some(files)
}
