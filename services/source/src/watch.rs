//! Tells that something in the folder changed. Events are a hint: network file systems lose them, so the folder is
//! looked at every now and then in any case.

use std::{collections::HashSet, io, path::PathBuf, time::Duration};

/// Most folders that are watched; documents in others are found by looking.
const FOLDERS_MAX: usize = 8192;

/// How long events of one change may follow each other.
const DEBOUNCE: Duration = Duration::from_millis(250);

/// Watches some folders, not what is below them.
pub(crate) struct Watch(imp::Watch);

impl Watch {
    /// Begins to watch those folders that are there.
    pub(crate) fn new(folders: &HashSet<PathBuf>) -> io::Result<Self> {
        let mut nearest: Vec<_> = folders.iter().collect();
        if nearest.len() > FOLDERS_MAX {
            tracing::warn!(folders = nearest.len(), watched = FOLDERS_MAX, "not every folder is watched");
            nearest.sort_unstable_by_key(|folder| (folder.components().count(), *folder));
            nearest.truncate(FOLDERS_MAX);
        }
        imp::Watch::new(&nearest).map(Self)
    }

    /// Completes when something changed and the first of its events are over.
    pub(crate) async fn changed(&mut self) {
        self.0.event().await;
        tokio::time::sleep(DEBOUNCE).await;
    }
}

#[cfg(target_os = "linux")]
mod imp {
    use std::{io, path::PathBuf};

    use futures_util::StreamExt;
    use inotify::{EventStream, Inotify, WatchMask};

    const BUFFER_BYTES: usize = 16 << 10;

    pub(super) struct Watch(EventStream<Vec<u8>>);

    impl Watch {
        pub(super) fn new(folders: &[&PathBuf]) -> io::Result<Self> {
            // What is written is of interest when it is done.
            let mask = WatchMask::CLOSE_WRITE
                | WatchMask::ATTRIB
                | WatchMask::CREATE
                | WatchMask::DELETE
                | WatchMask::MOVE
                | WatchMask::DELETE_SELF
                | WatchMask::MOVE_SELF;
            let inotify = Inotify::init()?;
            for folder in folders {
                match inotify.watches().add(folder, mask) {
                    Err(error)
                        if !matches!(
                            error.kind(),
                            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                        ) =>
                    {
                        return Err(error);
                    }
                    _ => {}
                }
            }
            inotify.into_event_stream(vec![0; BUFFER_BYTES]).map(Self)
        }

        pub(super) async fn event(&mut self) {
            if !matches!(self.0.next().await, Some(Ok(_))) {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::{io, path::PathBuf};

    pub(super) struct Watch;

    impl Watch {
        pub(super) fn new(_: &[&PathBuf]) -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn event(&mut self) {
            std::future::pending::<()>().await;
        }
    }
}
