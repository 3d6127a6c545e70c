//! Who this process is to the group: the process id, and the member id of each thread.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::lock_file::DirectoryLock;
use super::text_file::{read_if_exists, write_durably};
use crate::StateError;

const PROCESS_ID_FILE: &str = "process-id";
const MEMBER_IDS_FILE: &str = "member-ids";

/// Ids that outlive the process: whoever comes back under them has its tasks again at once.
pub(crate) struct Identity {
    process_id: Uuid,
    member_ids: BTreeMap<usize, String>,
    /// Where they are kept; none for a process without disk.
    directory: Option<PathBuf>,
}

impl Identity {
    /// The identity of a process that keeps nothing on disk.
    pub(crate) fn in_memory(process_id: Uuid) -> Self {
        Self { process_id, member_ids: BTreeMap::new(), directory: None }
    }

    /// The identity that lies in `directory`, or a new one. It is bound to the lock file: a copy
    /// of the directory is another process, and two processes of one id would fence each other
    /// for ever.
    pub(crate) fn load(directory: &Path, lock: &DirectoryLock) -> Result<Self, StateError> {
        let fingerprint = lock.fingerprint();
        let text = read_if_exists(&directory.join(PROCESS_ID_FILE))?;
        let mut identity = Self {
            process_id: Uuid::nil(),
            member_ids: BTreeMap::new(),
            directory: Some(directory.to_owned()),
        };
        match text.as_deref().and_then(parse_process_id) {
            Some((process_id, of)) if of == fingerprint => {
                identity.process_id = process_id;
                let text = read_if_exists(&directory.join(MEMBER_IDS_FILE))?;
                identity.member_ids = parse_member_ids(text.as_deref().unwrap_or_default());
            }
            found => {
                if text.is_some() {
                    tracing::warn!(
                        path = %directory.display(), copied = found.is_some(),
                        "the process id does not belong to this state directory; making a new one"
                    );
                }
                // Old member ids go first: with the new process id they would be another's.
                write_durably(directory, MEMBER_IDS_FILE, "")?;
                identity.process_id = new_process_id();
                let text = format!("{}\n{fingerprint}\n", identity.process_id);
                write_durably(directory, PROCESS_ID_FILE, &text)?;
            }
        }
        Ok(identity)
    }

    pub(crate) fn process_id(&self) -> Uuid {
        self.process_id
    }

    pub(crate) fn member_id(&self, thread: usize) -> Option<&str> {
        self.member_ids.get(&thread).map(String::as_str)
    }

    /// Keeps the member id of a thread; durable when this returns.
    pub(crate) fn set_member_id(&mut self, thread: usize, id: &str) -> Result<(), StateError> {
        if self.member_id(thread) == Some(id) {
            return Ok(());
        }
        let mut member_ids = self.member_ids.clone();
        member_ids.insert(thread, id.to_owned());
        if let Some(directory) = &self.directory {
            let lines: String =
                member_ids.iter().map(|(thread, id)| format!("{thread} {id}\n")).collect();
            write_durably(directory, MEMBER_IDS_FILE, &lines)?;
        }
        self.member_ids = member_ids;
        Ok(())
    }
}

/// The process id and the fingerprint of the lock file it was made under.
fn parse_process_id(text: &str) -> Option<(Uuid, u64)> {
    let (id, fingerprint) = text.split_once('\n')?;
    Some((Uuid::parse_str(id).ok()?, fingerprint.trim().parse().ok()?))
}

fn parse_member_ids(text: &str) -> BTreeMap<usize, String> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(thread, id)| Some((thread.parse().ok()?, id.to_owned())))
        .collect()
}

#[allow(clippy::disallowed_methods, reason = "the door to randomness: ids of processes")]
fn new_process_id() -> Uuid {
    Uuid::new_v4()
}
