//! How RocksDB is configured; each value was measured.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, Options, WriteBufferManager};

/// Files a family may come to have open.
const FILES_PER_FAMILY: u64 = 64;
const FILES_BASE: u64 = 1024;
/// Less would be no cache.
const CACHE_BYTES_MIN: u64 = 4 << 20;

/// The options of the database and of every family.
pub(super) fn database_options(memory_budget_bytes: u64) -> Options {
    let cache_bytes = (memory_budget_bytes / 4 * 3).max(CACHE_BYTES_MIN);
    let cache_bytes = usize::try_from(cache_bytes).unwrap_or(usize::MAX);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_block_based_table_factory(&table_options(cache_bytes));
    // For accounting only: it would flush the family with the oldest rows, however few.
    options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager(0, false));
    options.set_write_buffer_size(16 << 20);
    // With 3, applied layers stall beside restores.
    options.set_max_write_buffer_number(6);
    // Quiet families are charged what they hold, not a megabyte.
    options.set_arena_block_size(64 << 10);
    // A worker writes large sorted batches; they gain nothing by it.
    options.set_allow_concurrent_memtable_write(false);
    options.set_max_background_jobs(4);
    options.set_compression_type(DBCompressionType::None);
    options.set_keep_log_file_num(1);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_max_open_files(-1);
    options
}

fn table_options(cache_bytes: usize) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    // Not the LRU cache: a filter larger than one of its shards is read again for every get.
    table.set_block_cache(&Cache::new_hyper_clock_cache(cache_bytes, 0));
    table.set_bloom_filter(10.0, false);
    table.set_format_version(6);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table
}

/// Lets the process open as many files as it may, and says so if that is few.
pub(super) fn raise_file_limit(families: usize) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};

        let mut limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            limit.current = limit.maximum;
            if let Err(error) = setrlimit(Resource::Nofile, limit) {
                tracing::debug!(%error, "cannot raise the limit of open files");
            }
        }
        let needed = FILES_BASE + FILES_PER_FAMILY * families as u64;
        let allowed = getrlimit(Resource::Nofile).current;
        if let Some(allowed) = allowed.filter(|allowed| *allowed < needed) {
            tracing::warn!(
                allowed,
                needed,
                "few files may be open; raise the limit (ulimit -n) before state grows"
            );
        }
    }
}
