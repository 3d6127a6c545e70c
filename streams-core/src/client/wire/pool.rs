//! The connections of one handle, by broker.

use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use tokio::time::{Instant, timeout_at};

use super::super::error::ClientError;
use super::address::Address;
use super::connection::Connection;
use super::failure::Failure;
use super::settings::WireSettings;

/// A broker answers the requests of a connection one after the other, so that what it holds back
/// must not be in the way of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Answered at once.
    Prompt,
    /// JoinGroup and SyncGroup: answered when all members have come.
    Waiting,
}

/// Opens connections when they are needed, and again when they broke.
#[derive(Default)]
pub(super) struct Pool {
    slots: Mutex<HashMap<(Lane, Address), Slot, FixedState>>,
}

/// Locked while a connection is being opened, so that two calls do not open two.
type Slot = Arc<tokio::sync::Mutex<Option<Connection>>>;

impl Pool {
    /// A connection to the broker at `address`.
    pub(super) async fn connection(
        &self,
        lane: Lane,
        address: &Address,
        settings: &WireSettings,
        deadline: Instant,
    ) -> Result<Connection, Failure> {
        let slot = self.slot(lane, address);
        let Ok(mut slot) = timeout_at(deadline, slot.lock()).await else {
            let message = format!("no connection to {address} could be opened in time");
            return Err(Failure::look_up(ClientError::retriable(message)));
        };
        if let Some(connection) = slot.as_ref().filter(|connection| connection.is_usable()) {
            return Ok(connection.clone());
        }
        *slot = None;
        let connection = Connection::open(address, settings, deadline).await?;
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// Ends the connection to `address`, if there is one; its calls fail with that error.
    pub(super) fn close(&self, lane: Lane, address: &Address, why: &ClientError) {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let open = slots.get(&(lane, address.clone())).and_then(|slot| slot.try_lock().ok());
        if let Some(connection) = open.as_ref().and_then(|open| open.as_ref()) {
            connection.close(why.clone());
        }
    }

    /// Any connection that is open.
    pub(super) fn any_open(&self) -> Option<Connection> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().filter(|((lane, _), _)| *lane == Lane::Prompt).find_map(|(_, slot)| {
            slot.try_lock().ok()?.as_ref().filter(|open| open.is_usable()).cloned()
        })
    }

    fn slot(&self, lane: Lane, address: &Address) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&(lane, address.clone())) {
            return slot.clone();
        }
        // Brokers move: what broke long ago must not pile up.
        slots.retain(|_, slot| {
            slot.try_lock().map_or(true, |slot| slot.as_ref().is_some_and(Connection::is_usable))
        });
        slots.entry((lane, address.clone())).or_default().clone()
    }
}
