/* How the engine is set up. What differs from its defaults differs for a reason, given here; the figures were
 * measured with RocksDB 7.8.3. */
#include "store/engine.h"

#define CACHE_DEFAULT_BYTES    ((size_t)64 << 20)
#define BLOOM_BITS_PER_KEY     10.0 /* 1% false positives; an absent key then costs 0.6 us */
#define NOTES_IN_MEMORY_MAX    8u  /* of one key for one member; hot.h does the same for rows, at less cost */
#define WRITE_BUFFERS_MAX      4   /* one fills while the others wait for a slow disk */
#define OPEN_FILES_MAX         256 /* each holds its index and filter in memory, about 1 MiB */
#define OPENING_THREADS        2
#define BACKGROUND_JOBS        2          /* one flush and one compaction: machines run several nodes */
#define SYNC_EVERY_BYTES       (1u << 20) /* of flushes and compactions, lest the log's sync wait for them all */
#define MANIFEST_MAX_BYTES     (16u << 20)
#define MANIFEST_AHEAD_BYTES   (64u << 10) /* the default reserves 4 MiB of what may be a small disk */
#define DELETIONS_WINDOW       10000u
#define DELETIONS_TRIGGER      5000u
#define WAL_TOLERATE_TORN_TAIL 0
#define INFO_LOG_NOTHING       5
#define READ_TIER_CACHE        1

static rocksdb_options_t *database_options(bool create)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(o, create);
    rocksdb_options_set_create_missing_column_families(o, 1);

    /* A torn last record is what a crash leaves, and is cut. Anything else damaged in the log is refused; the
     * default mode opens with half of the acknowledged rows and says nothing. */
    rocksdb_options_set_wal_recovery_mode(o, WAL_TOLERATE_TORN_TAIL);
    rocksdb_options_set_max_total_wal_size(o, LOG_MAX_BYTES);
    rocksdb_options_set_max_manifest_file_size(o, MANIFEST_MAX_BYTES);
    rocksdb_options_set_manifest_preallocation_size(o, MANIFEST_AHEAD_BYTES);

    /* One thread writes, so what makes many writers fast only costs. */
    rocksdb_options_set_allow_concurrent_memtable_write(o, 0);
    rocksdb_options_set_enable_write_thread_adaptive_yield(o, 0);

    rocksdb_options_set_max_background_jobs(o, BACKGROUND_JOBS);
    rocksdb_options_set_max_open_files(o, OPEN_FILES_MAX);
    rocksdb_options_set_max_file_opening_threads(o, OPENING_THREADS);
    rocksdb_options_set_bytes_per_sync(o, SYNC_EVERY_BYTES);

    /* Nothing goes into the engine's own log: after one failed write to that file (a full disk) the next line
     * for it aborts the process. */
    rocksdb_options_set_info_log_level(o, INFO_LOG_NOTHING);
    rocksdb_options_set_keep_log_file_num(o, 2);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_stats_persist_period_sec(o, 0);
    return o;
}

static rocksdb_options_t *family_options(rocksdb_cache_t *cache, size_t buffer_bytes)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_options_set_write_buffer_size(o, buffer_bytes);
    rocksdb_options_set_max_write_buffer_number(o, WRITE_BUFFERS_MAX);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);

    /* Payloads worth it are lz4 already; what remains is tokens, stamps and short values, where compressing
     * blocks saves little and a cold read pays. */
    rocksdb_options_set_compression(o, rocksdb_no_compression);

    /* Handed-over notes and purged rows leave tombstones that every scan has to step over. */
    rocksdb_options_add_compact_on_deletion_collector_factory(o, DELETIONS_WINDOW, DELETIONS_TRIGGER);

    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS_PER_KEY));
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_block_based_options_destroy(table);
    return o;
}

void engine_options_create(struct store *s, const struct store_options *options)
{
    size_t cache_bytes = options->block_cache_bytes ? options->block_cache_bytes : CACHE_DEFAULT_BYTES;
    s->cache = rocksdb_cache_create_lru(cache_bytes);
    s->options = database_options(options->create);

    s->family_options[FAMILY_DEFAULT] = family_options(s->cache, META_BUFFER_BYTES);
    s->family_options[FAMILY_DATA] = family_options(s->cache, DATA_BUFFER_BYTES);
    s->family_options[FAMILY_HINTS] = family_options(s->cache, HINTS_BUFFER_BYTES);
    s->family_options[FAMILY_META] = family_options(s->cache, META_BUFFER_BYTES);
    s->family_options[FAMILY_TREE] = family_options(s->cache, TREE_BUFFER_BYTES);
    rocksdb_options_set_merge_operator(s->family_options[FAMILY_DATA], row_merge_create());
    rocksdb_options_set_merge_operator(s->family_options[FAMILY_HINTS], note_merge_create());
    rocksdb_options_set_max_successive_merges(s->family_options[FAMILY_HINTS], NOTES_IN_MEMORY_MAX);

    s->read_any = rocksdb_readoptions_create();
    s->read_cached = rocksdb_readoptions_create();
    rocksdb_readoptions_set_read_tier(s->read_cached, READ_TIER_CACHE);
    s->write_synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(s->write_synced, 1);
    s->write_unsynced = rocksdb_writeoptions_create();
    s->batch = rocksdb_writebatch_create();
}

void engine_options_destroy(struct store *s)
{
    rocksdb_writebatch_destroy(s->batch);
    rocksdb_writeoptions_destroy(s->write_unsynced);
    rocksdb_writeoptions_destroy(s->write_synced);
    rocksdb_readoptions_destroy(s->read_cached);
    rocksdb_readoptions_destroy(s->read_any);
    for (int i = 0; i < FAMILY_COUNT; i++)
        rocksdb_options_destroy(s->family_options[i]);
    rocksdb_options_destroy(s->options);
    rocksdb_cache_destroy(s->cache);
}
