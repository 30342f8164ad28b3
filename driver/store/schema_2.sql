-- From version 1 to 2.

-- An intent says which edition of the template was being measured, and where. Version 1 did not, so
-- what it left is taken to be of the edition and the environment that its shard recorded last.
CREATE TABLE intent_of_edition (
    shard_id       INTEGER NOT NULL REFERENCES shard,
    edition_id     INTEGER NOT NULL REFERENCES edition,
    params         TEXT NOT NULL,
    environment_id INTEGER NOT NULL REFERENCES environment,
    boot_id        TEXT NOT NULL,
    is_open        INTEGER NOT NULL CHECK (is_open IN (0, 1)),
    attempts       INTEGER NOT NULL,
    opened_us      INTEGER NOT NULL,
    PRIMARY KEY (shard_id, edition_id, params)
) STRICT, WITHOUT ROWID;

INSERT INTO intent_of_edition
SELECT o.shard_id, i.edition_id, o.params, i.environment_id, o.boot_id, o.is_open, o.attempts, o.opened_us
  FROM intent o
  JOIN iteration i ON i.id = (SELECT max(l.id) FROM iteration l
                               WHERE l.shard_id = o.shard_id AND l.edition_id IS NOT NULL);

DROP TABLE intent;
ALTER TABLE intent_of_edition RENAME TO intent;

-- Whether a kernel was found incorrect, for whoever asks for the best.
CREATE INDEX iteration_incorrect ON iteration (study_id, shard_id, params, edition_id, iter)
 WHERE outcome = 'incorrect';

-- The last keep of every study on every device (the lowest of them where several shards have one there): each keep beat
-- the one before it in alternation, which says more than scores taken minutes apart. Scores of two devices do not
-- compare. A keep whose kernel, source and parameters, was found incorrect later does not count.
DROP VIEW best;
CREATE VIEW best AS
SELECT study, device, device_uuid, shard, iter, geomean_ms, window_ms, global_ms, retrieval_ms, robust, params,
       description, registers, shared_bytes, spill_bytes, finished_at, host, reproduce
  FROM (SELECT *, row_number() OVER (PARTITION BY study, device_uuid ORDER BY geomean_ms, shard, iter) AS place
          FROM (SELECT *, max(iter) OVER (PARTITION BY study, shard, device_uuid) AS last_keep
                  FROM iterations k
                 WHERE status = 'keep'
                   AND NOT EXISTS (SELECT 1 FROM iterations f
                                    WHERE f.study = k.study AND f.shard = k.shard AND f.status = 'crash'
                                      AND f.iter > k.iter AND f.outcome = 'incorrect' AND f.params = k.params
                                      AND f.template_hash IS k.template_hash))
         WHERE iter = last_keep)
 WHERE place = 1;
