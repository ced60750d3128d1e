//! What a volume's name says: whose it is, what it contains, and which base volume it depends on. Names are all that is looked at.

use crate::ids::{Vmid, VolumeId};

/// Whether a volume is a cloud-init drive, by its name.
pub fn is_cloudinit(volume: &VolumeId) -> bool {
    let file = volume.name().rsplit('/').next().unwrap_or_default();
    file == "cloudinit"
        || file.strip_prefix("vm-").is_some_and(|rest| {
            rest.split_once('-').is_some_and(|(id, rest)| {
                id.bytes().all(|b| b.is_ascii_digit())
                    && (rest == "cloudinit" || rest.starts_with("cloudinit."))
            })
        })
}

/// The content type a volume counts as, by its place in the name of a file storage (`iso/…`, `vztmpl/…`, `backup/…`, `snippets/…`,
/// `import/…`); `None` for a guest's volume.
pub fn file_content(volume: &VolumeId) -> Option<&'static str> {
    let (folder, _) = volume.name().split_once('/')?;
    ["iso", "vztmpl", "backup", "snippets", "import"]
        .into_iter()
        .find(|content| *content == folder)
}

/// Whether a storage of this type keeps volumes as files in folders (pve-storage: the types with a `path`).
pub fn keeps_files(storage_type: &str) -> bool {
    matches!(
        storage_type,
        "dir" | "nfs" | "cifs" | "cephfs" | "glusterfs" | "btrfs"
    )
}

/// The guest a volume belongs to, by its name: `vm-104-disk-0`, `base-100-disk-0`, `subvol-301-disk-1`, `104/file.qcow2`,
/// `base-100-disk-0/vm-101-disk-0` (101). `None` for files that are no guest's volume.
pub fn owner(volume: &VolumeId) -> Option<Vmid> {
    if file_content(volume).is_some() {
        return None;
    }
    let name = volume.name();
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    owner_of_file(file).or_else(|| folder.rsplit('/').next().and_then(|f| f.parse().ok()))
}

fn owner_of_file(file: &str) -> Option<Vmid> {
    let rest = ["vm-", "base-", "subvol-", "basevol-"]
        .iter()
        .find_map(|p| file.strip_prefix(p))?;
    rest.split(['-', '.']).next()?.parse().ok()
}

/// The guest that a backup is of, by its name: `backup/vzdump-qemu-104-2026_11_01-03_00_00.vma.zst`, and on a Proxmox Backup Server
/// `backup/vm/104/2026-11-01T02:00:00Z`.
pub fn backed_up(volume: &VolumeId) -> Option<Vmid> {
    let name = volume.name().strip_prefix("backup/")?;
    let rest = ["vzdump-qemu-", "vzdump-lxc-", "vm/", "ct/"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))?;
    rest.split(['-', '/']).next()?.parse().ok()
}

/// What a volume's name says of a base volume it depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parent {
    /// It is no linked clone, as far as its name goes.
    None,
    /// It is a linked clone of this volume: dir `S:100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2`, ZFS and RBD
    /// `S:base-100-disk-0/vm-101-disk-0`.
    Of(VolumeId),
}

/// The base volume a linked clone depends on, from its volume id. LVM-thin writes no parent into names: there [`Parent::None`]
/// means nothing (see [`names_tell_parents`]).
pub fn parent(volume: &VolumeId) -> Parent {
    if file_content(volume).is_some() {
        return Parent::None;
    }
    let parts: Vec<&str> = volume.name().split('/').collect();
    let base = match parts.as_slice() {
        [base_vmid, base, _, _] => format!("{base_vmid}/{base}"),
        [base, _] if base.starts_with("base-") || base.starts_with("basevol-") => {
            (*base).to_owned()
        }
        _ => return Parent::None,
    };
    Parent::Of(VolumeId::new(volume.storage().clone(), base))
}

/// Whether a storage of this type writes a linked clone's parent into the volume's name.
pub fn names_tell_parents(storage_type: &str) -> bool {
    storage_type != "lvmthin"
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn volume(text: &str) -> VolumeId {
        text.parse().unwrap()
    }

    #[test]
    fn names_tell_owners_and_parents() {
        assert_eq!(owner(&volume("aa:vm-104-disk-0")).unwrap().get(), 104);
        assert_eq!(owner(&volume("aa:subvol-301-disk-1")).unwrap().get(), 301);
        assert_eq!(owner(&volume("aa:104/some.qcow2")).unwrap().get(), 104);
        assert_eq!(
            owner(&volume("aa:base-100-disk-0/vm-101-disk-0"))
                .unwrap()
                .get(),
            101
        );
        assert_eq!(owner(&volume("aa:iso/vm-104-disk-0.iso")), None);
        assert_eq!(
            parent(&volume("aa:base-100-disk-0/vm-101-disk-0")),
            Parent::Of(volume("aa:base-100-disk-0"))
        );
        assert_eq!(
            parent(&volume(
                "aa:100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2"
            )),
            Parent::Of(volume("aa:100/base-100-disk-0.qcow2"))
        );
        assert_eq!(parent(&volume("aa:104/vm-104-disk-0.qcow2")), Parent::None);
    }
}
