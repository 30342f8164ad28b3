-- Version 1 of the record (docs/database.md); schema_2.sql makes version 2 of it. Tables are singular and may change with
-- the version; the views at the end are plural, documented and stable. Times are milliseconds, instants are microseconds
-- since 1970 (UTC).

-- What is tuned: every iteration of a study is measured on the same cases, so its scores compare.
CREATE TABLE study (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    template   TEXT NOT NULL,
    device     TEXT NOT NULL CHECK (device IN ('cuda', 'cpu')),
    suite      TEXT NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;

CREATE TABLE suite_case (
    study_id             INTEGER NOT NULL REFERENCES study,
    position             INTEGER NOT NULL,
    case_id              TEXT NOT NULL,
    family               TEXT NOT NULL,
    batch_size           INTEGER NOT NULL,
    num_heads            INTEGER NOT NULL,
    t_max                INTEGER NOT NULL,
    window_blocks        INTEGER NOT NULL,
    global_blocks        INTEGER NOT NULL,
    retrieval_blocks     INTEGER NOT NULL,
    retrieval_local_bias REAL NOT NULL,
    seq_len_min_ratio    REAL NOT NULL,
    seed                 INTEGER NOT NULL,  -- unsigned 64 bits, stored as the signed number of the same bits
    profile              TEXT NOT NULL,
    PRIMARY KEY (study_id, position),
    UNIQUE (study_id, case_id)
) STRICT, WITHOUT ROWID;

-- One database's run of a study. A merged database holds several shards of one study, each with its own numbering.
CREATE TABLE shard (
    id         INTEGER PRIMARY KEY,
    study_id   INTEGER NOT NULL REFERENCES study,
    uid        TEXT NOT NULL UNIQUE,  -- random; the name of the shard wherever it is copied to
    host       TEXT NOT NULL,
    database   TEXT NOT NULL,         -- file it was first written to
    baseline   TEXT NOT NULL,
    strategy   TEXT NOT NULL,
    seed       INTEGER NOT NULL,
    space      TEXT NOT NULL,         -- JSON: parameters and constraints as last opened
    measure    TEXT NOT NULL,         -- JSON: measuring settings as last opened
    next_draw  INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    UNIQUE (id, study_id)
) STRICT;
CREATE INDEX shard_of_study ON shard (study_id);

CREATE TABLE environment (
    id             INTEGER PRIMARY KEY,
    device_name    TEXT NOT NULL,
    device_uuid    TEXT NOT NULL,
    driver_version TEXT NOT NULL,
    compiler       TEXT NOT NULL,
    host           TEXT NOT NULL,
    attune_version TEXT NOT NULL,
    UNIQUE (device_uuid, device_name, driver_version, compiler, host, attune_version)
) STRICT;

CREATE TABLE build (
    id       INTEGER PRIMARY KEY,
    compiler TEXT NOT NULL,
    options  TEXT NOT NULL,
    UNIQUE (options, compiler)
) STRICT;

-- Which state of a template's files an iteration measured: its hash, as the loop computes it.
CREATE TABLE edition (
    id            INTEGER PRIMARY KEY,
    template_hash TEXT NOT NULL UNIQUE
) STRICT;

-- Every distinct file or log, once.
CREATE TABLE content (
    id     INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE,
    body   TEXT NOT NULL
) STRICT;

-- A set of files, once. The generated attune_tune.h is not part of it but of the iteration: everything else is shared
-- by all candidates of a template, so a night's sources are one row.
CREATE TABLE source (
    id     INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE  -- over names and contents, in order of name
) STRICT;

CREATE TABLE source_file (
    source_id  INTEGER NOT NULL REFERENCES source,
    name       TEXT NOT NULL,
    content_id INTEGER NOT NULL REFERENCES content,
    PRIMARY KEY (source_id, name)
) STRICT, WITHOUT ROWID;

-- What queries filter and sort by; whatever is only read one iteration at a time is in iteration_detail.
CREATE TABLE iteration (
    id                  INTEGER PRIMARY KEY,
    study_id            INTEGER NOT NULL,
    shard_id            INTEGER NOT NULL,
    iter                INTEGER NOT NULL CHECK (iter >= 1),
    environment_id      INTEGER NOT NULL REFERENCES environment,
    edition_id          INTEGER REFERENCES edition,
    status              TEXT NOT NULL CHECK (status IN ('keep', 'discard', 'crash')),
    outcome             TEXT NOT NULL CHECK (outcome IN ('ok', 'compile_error', 'launch_error', 'incorrect', 'timeout',
                                                         'crash', 'pruned')),
    geomean_ms          REAL,
    delta_ms            REAL,
    window_ms           REAL,
    global_ms           REAL,
    retrieval_ms        REAL,
    bound_ms            REAL,  -- pruned: the score is at least this
    robust              INTEGER CHECK (robust IN (0, 1)),
    registers           INTEGER,
    shared_bytes        INTEGER,
    spill_bytes         INTEGER,
    performance_warning INTEGER NOT NULL CHECK (performance_warning IN (0, 1)),
    compile_s           REAL NOT NULL,
    device_s            REAL NOT NULL,
    finished_us         INTEGER NOT NULL,
    strategy            TEXT NOT NULL,
    params              TEXT NOT NULL,
    description         TEXT NOT NULL,
    UNIQUE (study_id, shard_id, iter),
    FOREIGN KEY (shard_id, study_id) REFERENCES shard (id, study_id)
) STRICT;
-- Order by score within a study; by number within a status; and the winners that `best` asks for, each the first entry.
CREATE INDEX iteration_by_score ON iteration (study_id, geomean_ms, status);
CREATE INDEX iteration_by_status ON iteration (study_id, shard_id, status, iter);
CREATE INDEX iteration_kept ON iteration (study_id, environment_id, geomean_ms) WHERE status = 'keep';
CREATE INDEX iteration_last_kept ON iteration (study_id, environment_id, shard_id, iter) WHERE status = 'keep';
CREATE INDEX iteration_robust ON iteration (study_id, environment_id, geomean_ms) WHERE robust = 1 AND outcome = 'ok';
CREATE INDEX iteration_by_window ON iteration (study_id, environment_id, window_ms) WHERE outcome = 'ok';
CREATE INDEX iteration_by_global ON iteration (study_id, environment_id, global_ms) WHERE outcome = 'ok';
CREATE INDEX iteration_by_retrieval ON iteration (study_id, environment_id, retrieval_ms) WHERE outcome = 'ok';

CREATE TABLE iteration_detail (
    iteration_id     INTEGER PRIMARY KEY REFERENCES iteration,
    source_id        INTEGER REFERENCES source,
    build_id         INTEGER REFERENCES build,
    log_id           INTEGER REFERENCES content,
    diagnostics_id   INTEGER REFERENCES content,
    from_cache       INTEGER CHECK (from_cache IN (0, 1)),
    incumbent_iter   INTEGER,
    ratio            REAL,
    ratio_low        REAL,
    ratio_high       REAL,
    pairs            INTEGER,
    sm_clock_mhz     INTEGER,
    memory_clock_mhz INTEGER,
    temperature_c    INTEGER,
    throttle_reasons TEXT,
    source_sha256    BLOB,  -- of the bundle as it was compiled
    reproduce        TEXT NOT NULL,
    tune_header      TEXT   -- the generated attune_tune.h
) STRICT;

CREATE TABLE kernel (
    iteration_id      INTEGER NOT NULL REFERENCES iteration,
    position          INTEGER NOT NULL,
    entry             TEXT NOT NULL,
    registers         INTEGER,
    shared_bytes      INTEGER,
    spill_store_bytes INTEGER,
    spill_load_bytes  INTEGER,
    stack_bytes       INTEGER,
    PRIMARY KEY (iteration_id, position)
) STRICT, WITHOUT ROWID;

-- position: of the case in suite_case. Errors are NULL where the check found NaN; passed is NULL where none was made.
-- cold_ms, warm_ms: raw samples in the order taken, little-endian float32.
CREATE TABLE case_result (
    iteration_id      INTEGER NOT NULL REFERENCES iteration,
    position          INTEGER NOT NULL,
    passed            INTEGER CHECK (passed IN (0, 1)),
    o_max_abs_error   REAL,
    o_worst_ratio     REAL,
    lse_max_abs_error REAL,
    lse_worst_ratio   REAL,
    o_bad_elements    INTEGER,
    lse_bad_elements  INTEGER,
    guards_intact     INTEGER CHECK (guards_intact IN (0, 1)),
    detail            TEXT,
    cold_median_ms    REAL,
    warm_median_ms    REAL,
    throttled         INTEGER NOT NULL CHECK (throttled IN (0, 1)),
    cold_ms           BLOB,
    warm_ms           BLOB,
    PRIMARY KEY (iteration_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE stress_result (
    iteration_id      INTEGER NOT NULL REFERENCES iteration,
    position          INTEGER NOT NULL,
    stress            TEXT NOT NULL,
    passed            INTEGER NOT NULL CHECK (passed IN (0, 1)),
    o_max_abs_error   REAL,
    o_worst_ratio     REAL,
    lse_max_abs_error REAL,
    lse_worst_ratio   REAL,
    o_bad_elements    INTEGER,
    lse_bad_elements  INTEGER,
    guards_intact     INTEGER CHECK (guards_intact IN (0, 1)),
    detail            TEXT,
    PRIMARY KEY (iteration_id, position, stress)
) STRICT, WITHOUT ROWID;

-- Candidates on a device right now, or when their coordinator died; closed ones were interrupted and keep their count.
-- Version 2 has it made anew.
CREATE TABLE intent (
    shard_id  INTEGER NOT NULL REFERENCES shard,
    params    TEXT NOT NULL,
    boot_id   TEXT NOT NULL,
    is_open   INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    attempts  INTEGER NOT NULL,
    opened_us INTEGER NOT NULL,
    PRIMARY KEY (shard_id, params)
) STRICT, WITHOUT ROWID;

-- One row an iteration. Joins are outer where they always match, because SQLite leaves an outer join out of a query
-- that reads none of its columns.
CREATE VIEW iterations AS
SELECT s.name AS study, h.uid AS shard, i.iter, i.status, i.outcome, i.geomean_ms, i.delta_ms, i.window_ms, i.global_ms,
       i.retrieval_ms, i.bound_ms, i.robust, i.params, i.description, i.registers, i.shared_bytes, i.spill_bytes,
       i.performance_warning, d.incumbent_iter, d.ratio, d.ratio_low, d.ratio_high, d.pairs, i.strategy, i.compile_s,
       i.device_s, strftime('%Y-%m-%dT%H:%M:%SZ', i.finished_us / 1000000, 'unixepoch') AS finished_at,
       e.device_name AS device, e.device_uuid, e.driver_version AS driver, e.compiler, b.options, e.host,
       e.attune_version, d.sm_clock_mhz, d.memory_clock_mhz, d.temperature_c, d.throttle_reasons, s.template, s.suite,
       t.template_hash, lower(hex(d.source_sha256)) AS source_hash, g.body AS diagnostics, l.body AS log, d.reproduce
  FROM study s
  JOIN iteration i ON i.study_id = s.id
  LEFT JOIN shard h ON h.id = i.shard_id
  LEFT JOIN environment e ON e.id = i.environment_id
  LEFT JOIN edition t ON t.id = i.edition_id
  LEFT JOIN iteration_detail d ON d.iteration_id = i.id
  LEFT JOIN build b ON b.id = d.build_id
  LEFT JOIN content l ON l.id = d.log_id
  LEFT JOIN content g ON g.id = d.diagnostics_id;

-- The last keep of every study on every device; version 2 has it made anew.
CREATE VIEW best AS
SELECT study, device, device_uuid, shard, iter, geomean_ms, window_ms, global_ms, retrieval_ms, robust, params,
       description, registers, shared_bytes, spill_bytes, finished_at, host, reproduce
  FROM (SELECT *, row_number() OVER (PARTITION BY study, device_uuid ORDER BY geomean_ms, shard, iter) AS place
          FROM (SELECT *, max(iter) OVER (PARTITION BY study, shard, device_uuid) AS last_keep
                  FROM iterations WHERE status = 'keep')
         WHERE iter = last_keep)
 WHERE place = 1;

-- One row a case of an iteration.
CREATE VIEW cases AS
SELECT s.name AS study, h.uid AS shard, i.iter, c.case_id, c.family, c.batch_size, c.num_heads, c.t_max,
       r.cold_median_ms, r.warm_median_ms, length(r.cold_ms) / 4 AS cold_samples, length(r.warm_ms) / 4 AS warm_samples,
       r.throttled, r.passed, r.o_max_abs_error, r.o_worst_ratio, r.lse_max_abs_error, r.lse_worst_ratio,
       r.o_bad_elements, r.lse_bad_elements, r.guards_intact, r.detail, r.cold_ms, r.warm_ms
  FROM study s
  JOIN iteration i ON i.study_id = s.id
  JOIN case_result r ON r.iteration_id = i.id
  LEFT JOIN suite_case c ON c.study_id = s.id AND c.position = r.position
  LEFT JOIN shard h ON h.id = i.shard_id;

-- One row a stress check of an iteration.
CREATE VIEW stresses AS
SELECT s.name AS study, h.uid AS shard, i.iter, c.case_id, c.family, r.stress, r.passed, r.o_max_abs_error,
       r.o_worst_ratio, r.lse_max_abs_error, r.lse_worst_ratio, r.o_bad_elements, r.lse_bad_elements, r.guards_intact,
       r.detail
  FROM study s
  JOIN iteration i ON i.study_id = s.id
  JOIN stress_result r ON r.iteration_id = i.id
  LEFT JOIN suite_case c ON c.study_id = s.id AND c.position = r.position
  LEFT JOIN shard h ON h.id = i.shard_id;

-- One row a kernel of an iteration.
CREATE VIEW kernels AS
SELECT s.name AS study, h.uid AS shard, i.iter, k.entry, k.registers, k.shared_bytes, k.spill_store_bytes,
       k.spill_load_bytes, k.stack_bytes
  FROM study s
  JOIN iteration i ON i.study_id = s.id
  JOIN kernel k ON k.iteration_id = i.id
  LEFT JOIN shard h ON h.id = i.shard_id;

-- One row a knob of an iteration: `key=value,…` read as JSON.
CREATE VIEW params AS
SELECT s.name AS study, h.uid AS shard, i.iter, i.status, i.outcome, i.geomean_ms, p.key AS name, p.value,
       i.bound_ms
  FROM study s
  JOIN iteration i ON i.study_id = s.id
  JOIN json_each('{"' || replace(replace(i.params, '=', '":"'), ',', '","') || '"}') p
  LEFT JOIN shard h ON h.id = i.shard_id
 WHERE i.params <> '';

-- One row a knob of a study: how far apart the best scores of its values lie. What was stopped early counts by its bound:
-- the worst values are never timed in full, and would else be the ones that are missing.
CREATE VIEW knobs AS
SELECT study, name, count(*) AS tried_values, max(best_ms) / min(best_ms) - 1 AS spread,
       min(value) FILTER (WHERE best_ms = least_ms) AS best_value
  FROM (SELECT *, min(best_ms) OVER (PARTITION BY study, name) AS least_ms
          FROM (SELECT study, name, value, min(coalesce(geomean_ms, bound_ms)) AS best_ms
                  FROM params WHERE outcome IN ('ok', 'pruned') GROUP BY study, name, value))
 GROUP BY study, name;

-- One row a file of an iteration's source.
CREATE VIEW sources AS
SELECT s.name AS study, h.uid AS shard, i.iter, f.name AS file, t.body AS text
  FROM study s
  JOIN iteration i ON i.study_id = s.id
  JOIN iteration_detail d ON d.iteration_id = i.id
  JOIN source_file f ON f.source_id = d.source_id
  JOIN content t ON t.id = f.content_id
  LEFT JOIN shard h ON h.id = i.shard_id
UNION ALL
SELECT s.name, h.uid, i.iter, 'attune_tune.h', d.tune_header
  FROM study s
  JOIN iteration i ON i.study_id = s.id
  JOIN iteration_detail d ON d.iteration_id = i.id
  LEFT JOIN shard h ON h.id = i.shard_id
 WHERE d.tune_header IS NOT NULL;
