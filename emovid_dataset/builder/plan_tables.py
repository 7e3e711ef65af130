"""The tables of a plan.

A row of `clips` is long, and all of them together are longer than memory. What has to be gone through in
another order than theirs stands in narrow tables of its own: `parts` by content type and split, `places` by
shard. Both are filled in their own order, so that nothing is written here and there.
"""

SCHEMA = """
CREATE TABLE labels (
    row INTEGER PRIMARY KEY, path TEXT NOT NULL, start REAL, stop REAL, emotion INTEGER,
    kept INTEGER NOT NULL, label TEXT NOT NULL
);
CREATE UNIQUE INDEX stretch ON labels (path, ifnull(start, -1), ifnull(stop, -1));
CREATE TABLE ratings (row INTEGER PRIMARY KEY, first INTEGER NOT NULL, label TEXT NOT NULL);
CREATE INDEX rated ON ratings (first);
CREATE TABLE rejections (row INTEGER NOT NULL, path TEXT NOT NULL, reason TEXT NOT NULL);
CREATE INDEX rejected_path ON rejections (path);
CREATE TABLE units (key TEXT PRIMARY KEY, hash INTEGER NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL,
    unit TEXT NOT NULL);
CREATE TABLE prepared (row INTEGER PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE clips (
    number INTEGER PRIMARY KEY, row INTEGER NOT NULL, content TEXT NOT NULL UNIQUE, id TEXT NOT NULL,
    content_type TEXT NOT NULL, emotion TEXT, family TEXT NOT NULL, size INTEGER NOT NULL,
    video TEXT NOT NULL, verbatim INTEGER NOT NULL, clip TEXT NOT NULL, qualifies INTEGER NOT NULL,
    split TEXT
);
CREATE VIEW placed AS SELECT * FROM clips WHERE emotion IS NOT NULL AND split IS NOT NULL;
CREATE VIEW unplaced AS SELECT * FROM clips WHERE emotion IS NOT NULL AND split IS NULL;
CREATE TABLE shards (number INTEGER PRIMARY KEY, path TEXT NOT NULL, content_type TEXT NOT NULL,
    split TEXT NOT NULL);
CREATE TABLE parts (content_type TEXT, part TEXT, id TEXT, number INTEGER NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (content_type, part, id)) WITHOUT ROWID;
CREATE TABLE places (shard INTEGER, place INTEGER, number INTEGER NOT NULL,
    PRIMARY KEY (shard, place)) WITHOUT ROWID;
CREATE INDEX families_of_clips ON clips (family);
CREATE TABLE families (family TEXT PRIMARY KEY, size INTEGER NOT NULL, rank BLOB NOT NULL,
    row INTEGER NOT NULL);
CREATE TABLE sides (family TEXT PRIMARY KEY, split TEXT NOT NULL);
"""
