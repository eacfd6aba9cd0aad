-- Types the facts. Each file facts/NAME.csv is loaded as csv_NAME, all text; here it becomes the table NAME: numbers
-- are INTEGER, an empty cell is NULL, everything else stays text (times sort as text: all are UTC and of one form; truth
-- is 'true' or 'false'). The indexes only make the queries fast.

CREATE TABLE scope (
  revision TEXT,
  revision_asked TEXT,
  period_from TEXT,
  period_to TEXT,
  cluster TEXT
);
INSERT INTO scope
SELECT NULLIF(revision, ''),
       NULLIF(revision_asked, ''),
       NULLIF(period_from, ''),
       NULLIF(period_to, ''),
       NULLIF(cluster, '')
FROM csv_scope;

CREATE TABLE commits (
  commit_id TEXT,
  parents TEXT,
  parent_count INTEGER,
  tree TEXT,
  author_name TEXT,
  author_email TEXT,
  authored_at TEXT,
  committer_name TEXT,
  committer_email TEXT,
  committed_at TEXT,
  subject TEXT,
  in_revision TEXT,
  on_first_parent_line TEXT,
  brought_in_by TEXT
);
INSERT INTO commits
SELECT NULLIF(commit_id, ''),
       NULLIF(parents, ''),
       NULLIF(parent_count, ''),
       NULLIF(tree, ''),
       NULLIF(author_name, ''),
       NULLIF(author_email, ''),
       NULLIF(authored_at, ''),
       NULLIF(committer_name, ''),
       NULLIF(committer_email, ''),
       NULLIF(committed_at, ''),
       NULLIF(subject, ''),
       NULLIF(in_revision, ''),
       NULLIF(on_first_parent_line, ''),
       NULLIF(brought_in_by, '')
FROM csv_commits;
CREATE INDEX commits_by_key ON commits (commit_id);

CREATE TABLE pull_requests (
  commit_id TEXT,
  number INTEGER,
  named_by TEXT
);
INSERT INTO pull_requests
SELECT NULLIF(commit_id, ''),
       NULLIF(number, ''),
       NULLIF(named_by, '')
FROM csv_pull_requests;
CREATE INDEX pull_requests_by_key ON pull_requests (commit_id);

CREATE TABLE commit_files (
  commit_id TEXT,
  path TEXT,
  change TEXT
);
INSERT INTO commit_files
SELECT NULLIF(commit_id, ''),
       NULLIF(path, ''),
       NULLIF(change, '')
FROM csv_commit_files;
CREATE INDEX commit_files_by_key ON commit_files (commit_id, path);

CREATE TABLE files (
  revision TEXT,
  path TEXT,
  last_commit TEXT
);
INSERT INTO files
SELECT NULLIF(revision, ''),
       NULLIF(path, ''),
       NULLIF(last_commit, '')
FROM csv_files;
CREATE INDEX files_by_key ON files (revision, path);

CREATE TABLE manifests (
  path TEXT,
  line INTEGER,
  object TEXT,
  api_group TEXT,
  version TEXT,
  kind TEXT,
  namespace TEXT,
  name TEXT
);
INSERT INTO manifests
SELECT NULLIF(path, ''),
       NULLIF(line, ''),
       NULLIF(object, ''),
       NULLIF(api_group, ''),
       NULLIF(version, ''),
       NULLIF(kind, ''),
       NULLIF(namespace, ''),
       NULLIF(name, '')
FROM csv_manifests;
CREATE INDEX manifests_by_key ON manifests (path);

CREATE TABLE inventory (
  object TEXT,
  application TEXT,
  uid TEXT,
  repository TEXT,
  revision TEXT,
  file TEXT,
  sync_option TEXT
);
INSERT INTO inventory
SELECT NULLIF(object, ''),
       NULLIF(application, ''),
       NULLIF(uid, ''),
       NULLIF(repository, ''),
       NULLIF(revision, ''),
       NULLIF(file, ''),
       NULLIF(sync_option, '')
FROM csv_inventory;
CREATE INDEX inventory_by_key ON inventory (object);

CREATE TABLE live_objects (
  object TEXT,
  uid TEXT,
  api_group TEXT,
  version TEXT,
  kind TEXT,
  namespace TEXT,
  name TEXT,
  created_at TEXT,
  root TEXT,
  root_uid TEXT,
  excluded TEXT
);
INSERT INTO live_objects
SELECT NULLIF(object, ''),
       NULLIF(uid, ''),
       NULLIF(api_group, ''),
       NULLIF(version, ''),
       NULLIF(kind, ''),
       NULLIF(namespace, ''),
       NULLIF(name, ''),
       NULLIF(created_at, ''),
       NULLIF(root, ''),
       NULLIF(root_uid, ''),
       NULLIF(excluded, '')
FROM csv_live_objects;
CREATE INDEX live_objects_by_key ON live_objects (object);

CREATE TABLE controls (
  framework TEXT,
  framework_version TEXT,
  position INTEGER,
  control TEXT,
  asks TEXT,
  strength TEXT,
  not_evidenced TEXT
);
INSERT INTO controls
SELECT NULLIF(framework, ''),
       NULLIF(framework_version, ''),
       NULLIF(position, ''),
       NULLIF(control, ''),
       NULLIF(asks, ''),
       NULLIF(strength, ''),
       NULLIF(not_evidenced, '')
FROM csv_controls;
CREATE INDEX controls_by_key ON controls (framework, control);

CREATE TABLE control_tables (
  framework TEXT,
  control TEXT,
  table_name TEXT
);
INSERT INTO control_tables
SELECT NULLIF(framework, ''),
       NULLIF(control, ''),
       NULLIF(table_name, '')
FROM csv_control_tables;
CREATE INDEX control_tables_by_key ON control_tables (framework, control);

CREATE TABLE gaps (
  source TEXT,
  item TEXT,
  reason TEXT
);
INSERT INTO gaps
SELECT NULLIF(source, ''),
       NULLIF(item, ''),
       NULLIF(reason, '')
FROM csv_gaps;
