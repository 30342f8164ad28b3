-- From version 1 to 2: an intent says which edition of the template was being measured, and where. Version 1 did not, so
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
