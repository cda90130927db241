//! Files that hold a secret: whoever is neither their owner nor of their group may not read them.

use std::{io, os::unix::fs::PermissionsExt, path::Path};

use zeroize::Zeroizing;

/// Permissions of those who are neither the owner nor of the group.
const OTHERS: u32 = 0o007;

/// Reads a file that holds a secret; what was read is wiped from memory when it is dropped.
///
/// # Errors
/// With `PermissionDenied` also when the file is open to everybody: a secret that all may read is none.
pub fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    if std::fs::metadata(path)?.permissions().mode() & OTHERS != 0 {
        let text = "the file is open to everybody; take that permission away: chmod o= FILE";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    std::fs::read_to_string(path).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_open_to_everybody_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "secret").unwrap();
        for (mode, readable) in [(0o600, true), (0o440, true), (0o644, false), (0o602, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = read(&path);
            assert_eq!(read.is_ok(), readable, "{mode:o}");
            assert!(read.is_ok_and(|text| *text == "secret") == readable);
        }
        assert_eq!(read(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
