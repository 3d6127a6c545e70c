//! Which engine has which store: what the configuration says, held against the topology.

use crate::config::{ConfigError, ConfigMistake, ResolvedConfig};
use crate::topology::Topology;

/// What is said about a store that does not exist, or has no engine, is a mistake.
pub(super) fn check_engines(
    topology: &Topology,
    config: &ResolvedConfig,
) -> Result<(), ConfigError> {
    let mistakes: Vec<_> =
        config.engines.of_store.keys().filter_map(|store| mistake(topology, store)).collect();
    if mistakes.is_empty() { Ok(()) } else { Err(ConfigError::new(mistakes)) }
}

fn mistake(topology: &Topology, store: &str) -> Option<ConfigMistake> {
    let message = match topology.all_stores().find(|known| known.spec().name == store) {
        Some(known) if known.spec().persistent => return None,
        Some(_) => format!("store {store:?} is in memory and has no engine: make it persistent"),
        None => {
            let stores = topology.all_stores().filter(|known| known.spec().persistent);
            let names: Vec<_> = stores.map(|known| known.spec().name.as_str()).collect();
            format!("there is no store {store:?}; those with an engine are: {}", names.join(", "))
        }
    };
    Some(ConfigMistake { key: "engine_of".to_owned(), origin: String::new(), message })
}
