-- Types the facts. Each file facts/NAME.csv is loaded as csv_NAME, all text; here it becomes the table NAME:
-- numbers are INTEGER, an empty cell is NULL, everything else stays text (times sort as text: all are UTC and of one
-- form). The keys only make the queries fast.

CREATE TABLE scope AS
SELECT revision,
       revision_asked,
       NULLIF(period_from, '') AS period_from,
       NULLIF(period_to, '')   AS period_to,
       NULLIF(cluster, '')     AS cluster
FROM csv_scope;

CREATE TABLE commits (
  commit_id            TEXT PRIMARY KEY,
  parents              TEXT,
  parent_count         INTEGER,
  tree                 TEXT,
  author_name          TEXT,
  author_email         TEXT,
  authored_at          TEXT,
  committer_name       TEXT,
  committer_email      TEXT,
  committed_at         TEXT,
  subject              TEXT,
  in_revision          TEXT,
  on_first_parent_line TEXT,
  brought_in_by        TEXT
);
INSERT INTO commits
SELECT commit_id,
       NULLIF(parents, ''),
       parent_count,
       tree,
       NULLIF(author_name, ''),
       NULLIF(author_email, ''),
       NULLIF(authored_at, ''),
       NULLIF(committer_name, ''),
       NULLIF(committer_email, ''),
       NULLIF(committed_at, ''),
       NULLIF(subject, ''),
       in_revision,
       on_first_parent_line,
       NULLIF(brought_in_by, '')
FROM csv_commits;

CREATE TABLE pull_requests (
  commit_id TEXT PRIMARY KEY,
  number    INTEGER,
  named_by  TEXT
);
INSERT INTO pull_requests SELECT commit_id, number, named_by FROM csv_pull_requests;

CREATE TABLE commit_files (
  commit_id TEXT,
  path      TEXT,
  change    TEXT,
  PRIMARY KEY (commit_id, path)
);
INSERT INTO commit_files SELECT commit_id, path, change FROM csv_commit_files;

CREATE TABLE files (
  revision    TEXT,
  path        TEXT,
  last_commit TEXT,
  PRIMARY KEY (revision, path)
);
INSERT INTO files SELECT revision, path, last_commit FROM csv_files;

CREATE TABLE manifests (
  path      TEXT,
  line      INTEGER,
  object    TEXT,
  api_group TEXT,
  version   TEXT,
  kind      TEXT,
  namespace TEXT,
  name      TEXT
);
INSERT INTO manifests
SELECT path, line, object, NULLIF(api_group, ''), version, kind, NULLIF(namespace, ''), name
FROM csv_manifests;
CREATE INDEX manifests_by_path ON manifests (path);

CREATE TABLE inventory (
  object      TEXT,
  application TEXT,
  uid         TEXT,
  repository  TEXT,
  revision    TEXT,
  file        TEXT,
  sync_option TEXT
);
INSERT INTO inventory
SELECT object, application, NULLIF(uid, ''), repository, revision, NULLIF(file, ''), NULLIF(sync_option, '')
FROM csv_inventory;
CREATE INDEX inventory_by_object ON inventory (object);

CREATE TABLE live_objects (
  object     TEXT,
  uid        TEXT PRIMARY KEY,
  api_group  TEXT,
  version    TEXT,
  kind       TEXT,
  namespace  TEXT,
  name       TEXT,
  created_at TEXT,
  root       TEXT,
  root_uid   TEXT,
  excluded   TEXT
);
INSERT INTO live_objects
SELECT object,
       uid,
       NULLIF(api_group, ''),
       version,
       kind,
       NULLIF(namespace, ''),
       name,
       NULLIF(created_at, ''),
       root,
       root_uid,
       NULLIF(excluded, '')
FROM csv_live_objects;

CREATE TABLE gaps AS SELECT source, item, reason FROM csv_gaps;
