//! Forms of values that more than one table names (PVE::JSONSchema and friends), with Proxmox VE's complaints.

use super::params::Kind;

/// A VM id: an integer of at least 100.
pub const VMID: Kind = Kind::All(&[Kind::Integer(i64::MIN, i64::MAX), Kind::Form(vmid)]);
/// `digest`: at most 64 characters.
pub const DIGEST: Kind = Kind::TextMax(64);
/// An integer of zero or more.
pub const COUNT: Kind = Kind::Integer(0, i64::MAX);

/// A guest's number, 100 to 999999999.
///
/// # Errors
/// The complaint.
pub fn vmid(value: &str) -> Result<(), String> {
    let good = value.len() >= 3
        && value.len() <= 9
        && !value.starts_with('0')
        && value.bytes().all(|byte| byte.is_ascii_digit());
    if good {
        Ok(())
    } else {
        Err("value does not look like a valid VM ID".into())
    }
}

/// A storage's name.
///
/// # Errors
/// The complaint.
pub fn storage_id(value: &str) -> Result<(), String> {
    if value.len() < 2 {
        return Err(format!(
            "storage ID '{value}' cannot be shorter than 2 characters"
        ));
    }
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.ends_with(|c: char| c.is_ascii_alphanumeric())
        && value.chars().all(inner);
    if good {
        Ok(())
    } else {
        Err(format!("storage ID '{value}' contains illegal characters"))
    }
}

/// A node's name.
///
/// # Errors
/// The complaint.
pub fn node_name(value: &str) -> Result<(), String> {
    let good = !value.is_empty()
        && !value.starts_with('-')
        && !value.ends_with('-')
        && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if good {
        Ok(())
    } else {
        Err("value does not look like a valid node name".into())
    }
}

/// A name in a configuration (`pve-configid`): a letter, then letters, digits, `-` and `_`; two characters or more.
///
/// # Errors
/// The complaint.
pub fn config_id(value: &str) -> Result<(), String> {
    let good = value.len() >= 2
        && value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if good {
        Ok(())
    } else {
        Err(format!("invalid configuration ID '{value}'"))
    }
}

/// An absolute path.
///
/// # Errors
/// The complaint.
pub fn absolute_path(value: &str) -> Result<(), String> {
    let good = value.starts_with('/') && !value.contains('\n');
    if good {
        Ok(())
    } else {
        Err("value does not look like a valid absolute path".into())
    }
}
