-- Types the facts. Each file facts/NAME.csv is loaded as csv_NAME, all text; here it becomes the table NAME: numbers
-- are INTEGER, an empty cell is NULL, everything else stays text (times sort as text: all are UTC and of one form; truth
-- is 'true' or 'false'). The indexes only make the queries fast.

CREATE TABLE scope (
  revision TEXT,
  revision_asked TEXT,
  period_from TEXT,
  period_to TEXT,
  cluster TEXT,
  has_ledger TEXT,
  sample_size INTEGER,
  sample_seed TEXT
);
INSERT INTO scope
SELECT NULLIF(revision, ''),
       NULLIF(revision_asked, ''),
       NULLIF(period_from, ''),
       NULLIF(period_to, ''),
       NULLIF(cluster, ''),
       NULLIF(has_ledger, ''),
       NULLIF(sample_size, ''),
       NULLIF(sample_seed, '')
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
  brought_in_by TEXT,
  step TEXT
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
       NULLIF(brought_in_by, ''),
       NULLIF(step, '')
FROM csv_commits;
CREATE INDEX commits_by_commit_id ON commits (commit_id);
CREATE INDEX commits_by_step ON commits (step);

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
CREATE INDEX pull_requests_by_commit_id ON pull_requests (commit_id);

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
CREATE INDEX commit_files_by_commit_id ON commit_files (commit_id, path);

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
CREATE INDEX files_by_revision ON files (revision, path);

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
CREATE INDEX manifests_by_path ON manifests (path);

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
CREATE INDEX inventory_by_object ON inventory (object);

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
CREATE INDEX live_objects_by_object ON live_objects (object);

CREATE TABLE steps (
  step TEXT,
  before TEXT,
  merge TEXT,
  files INTEGER,
  additions INTEGER,
  deletions INTEGER,
  diff_sha256 TEXT,
  rules TEXT
);
INSERT INTO steps
SELECT NULLIF(step, ''),
       NULLIF(before, ''),
       NULLIF(merge, ''),
       NULLIF(files, ''),
       NULLIF(additions, ''),
       NULLIF(deletions, ''),
       NULLIF(diff_sha256, ''),
       NULLIF(rules, '')
FROM csv_steps;
CREATE INDEX steps_by_step ON steps (step);

CREATE TABLE rules (
  rules TEXT,
  documentation TEXT,
  ticket TEXT,
  approvals INTEGER,
  separate_merger TEXT
);
INSERT INTO rules
SELECT NULLIF(rules, ''),
       NULLIF(documentation, ''),
       NULLIF(ticket, ''),
       NULLIF(approvals, ''),
       NULLIF(separate_merger, '')
FROM csv_rules;
CREATE INDEX rules_by_rules ON rules (rules);

CREATE TABLE words (
  step TEXT,
  characters INTEGER,
  reason TEXT,
  subject_flag TEXT,
  tickets TEXT,
  impact TEXT,
  test TEXT,
  back_out TEXT,
  missing TEXT
);
INSERT INTO words
SELECT NULLIF(step, ''),
       NULLIF(characters, ''),
       NULLIF(reason, ''),
       NULLIF(subject_flag, ''),
       NULLIF(tickets, ''),
       NULLIF(impact, ''),
       NULLIF(test, ''),
       NULLIF(back_out, ''),
       NULLIF(missing, '')
FROM csv_words;
CREATE INDEX words_by_step ON words (step);

CREATE TABLE trailers (
  commit_id TEXT,
  position INTEGER,
  token TEXT,
  value TEXT
);
INSERT INTO trailers
SELECT NULLIF(commit_id, ''),
       NULLIF(position, ''),
       NULLIF(token, ''),
       NULLIF(value, '')
FROM csv_trailers;
CREATE INDEX trailers_by_commit_id ON trailers (commit_id);

CREATE TABLE signatures (
  commit_id TEXT,
  state TEXT,
  signed_by TEXT,
  detail TEXT
);
INSERT INTO signatures
SELECT NULLIF(commit_id, ''),
       NULLIF(state, ''),
       NULLIF(signed_by, ''),
       NULLIF(detail, '')
FROM csv_signatures;
CREATE INDEX signatures_by_commit_id ON signatures (commit_id);

CREATE TABLE reverts (
  commit_id TEXT,
  step TEXT,
  undoes TEXT,
  undone_step TEXT,
  is_claimed TEXT,
  proof TEXT,
  seconds INTEGER
);
INSERT INTO reverts
SELECT NULLIF(commit_id, ''),
       NULLIF(step, ''),
       NULLIF(undoes, ''),
       NULLIF(undone_step, ''),
       NULLIF(is_claimed, ''),
       NULLIF(proof, ''),
       NULLIF(seconds, '')
FROM csv_reverts;
CREATE INDEX reverts_by_commit_id ON reverts (commit_id);

CREATE TABLE forge (
  url TEXT,
  repository_id INTEGER,
  default_branch TEXT,
  merged INTEGER,
  has_protections TEXT,
  identities TEXT
);
INSERT INTO forge
SELECT NULLIF(url, ''),
       NULLIF(repository_id, ''),
       NULLIF(default_branch, ''),
       NULLIF(merged, ''),
       NULLIF(has_protections, ''),
       NULLIF(identities, '')
FROM csv_forge;

CREATE TABLE forge_pulls (
  number INTEGER,
  title TEXT,
  base TEXT,
  opened_by TEXT,
  opened_at TEXT,
  merged_by TEXT,
  merged_at TEXT,
  merge_commit TEXT,
  head TEXT,
  method TEXT,
  content TEXT,
  retargeted_at TEXT,
  labels TEXT,
  rule TEXT,
  identities TEXT,
  is_whole TEXT
);
INSERT INTO forge_pulls
SELECT NULLIF(number, ''),
       NULLIF(title, ''),
       NULLIF(base, ''),
       NULLIF(opened_by, ''),
       NULLIF(opened_at, ''),
       NULLIF(merged_by, ''),
       NULLIF(merged_at, ''),
       NULLIF(merge_commit, ''),
       NULLIF(head, ''),
       NULLIF(method, ''),
       NULLIF(content, ''),
       NULLIF(retargeted_at, ''),
       NULLIF(labels, ''),
       NULLIF(rule, ''),
       NULLIF(identities, ''),
       NULLIF(is_whole, '')
FROM csv_forge_pulls;
CREATE INDEX forge_pulls_by_number ON forge_pulls (number);

CREATE TABLE forge_pull_steps (
  step TEXT,
  number INTEGER
);
INSERT INTO forge_pull_steps
SELECT NULLIF(step, ''),
       NULLIF(number, '')
FROM csv_forge_pull_steps;
CREATE INDEX forge_pull_steps_by_step ON forge_pull_steps (step);
CREATE INDEX forge_pull_steps_by_number ON forge_pull_steps (number);

CREATE TABLE forge_contributors (
  number INTEGER,
  role TEXT,
  login TEXT,
  email TEXT
);
INSERT INTO forge_contributors
SELECT NULLIF(number, ''),
       NULLIF(role, ''),
       NULLIF(login, ''),
       NULLIF(email, '')
FROM csv_forge_contributors;
CREATE INDEX forge_contributors_by_number ON forge_contributors (number);

CREATE TABLE forge_reviews (
  number INTEGER,
  review_id INTEGER,
  reviewer TEXT,
  state TEXT,
  submitted_at TEXT,
  reviewed_commit TEXT,
  is_dismissed TEXT,
  dismissed_at TEXT,
  dismissed_by TEXT,
  is_official TEXT,
  content_match TEXT
);
INSERT INTO forge_reviews
SELECT NULLIF(number, ''),
       NULLIF(review_id, ''),
       NULLIF(reviewer, ''),
       NULLIF(state, ''),
       NULLIF(submitted_at, ''),
       NULLIF(reviewed_commit, ''),
       NULLIF(is_dismissed, ''),
       NULLIF(dismissed_at, ''),
       NULLIF(dismissed_by, ''),
       NULLIF(is_official, ''),
       NULLIF(content_match, '')
FROM csv_forge_reviews;
CREATE INDEX forge_reviews_by_number ON forge_reviews (number);

CREATE TABLE forge_checks (
  number INTEGER,
  commit_id TEXT,
  check_id INTEGER,
  context TEXT,
  state TEXT,
  reported_by TEXT,
  reported_at TEXT
);
INSERT INTO forge_checks
SELECT NULLIF(number, ''),
       NULLIF(commit_id, ''),
       NULLIF(check_id, ''),
       NULLIF(context, ''),
       NULLIF(state, ''),
       NULLIF(reported_by, ''),
       NULLIF(reported_at, '')
FROM csv_forge_checks;
CREATE INDEX forge_checks_by_number ON forge_checks (number);

CREATE TABLE forge_protections (
  pattern TEXT,
  position INTEGER,
  required_approvals INTEGER,
  holds_administrators TEXT,
  lets_push TEXT,
  edited_at TEXT,
  settings TEXT
);
INSERT INTO forge_protections
SELECT NULLIF(pattern, ''),
       NULLIF(position, ''),
       NULLIF(required_approvals, ''),
       NULLIF(holds_administrators, ''),
       NULLIF(lets_push, ''),
       NULLIF(edited_at, ''),
       NULLIF(settings, '')
FROM csv_forge_protections;
CREATE INDEX forge_protections_by_pattern ON forge_protections (pattern);

CREATE TABLE forge_access (
  principal TEXT,
  level TEXT,
  path TEXT
);
INSERT INTO forge_access
SELECT NULLIF(principal, ''),
       NULLIF(level, ''),
       NULLIF(path, '')
FROM csv_forge_access;
CREATE INDEX forge_access_by_principal ON forge_access (principal);

CREATE TABLE forge_answers (
  path TEXT,
  status INTEGER,
  sha256 TEXT
);
INSERT INTO forge_answers
SELECT NULLIF(path, ''),
       NULLIF(status, ''),
       NULLIF(sha256, '')
FROM csv_forge_answers;
CREATE INDEX forge_answers_by_path ON forge_answers (path);

CREATE TABLE identity_links (
  identities TEXT,
  system TEXT,
  account TEXT,
  person TEXT,
  kind TEXT
);
INSERT INTO identity_links
SELECT NULLIF(identities, ''),
       NULLIF(system, ''),
       NULLIF(account, ''),
       NULLIF(person, ''),
       NULLIF(kind, '')
FROM csv_identity_links;
CREATE INDEX identity_links_by_identities ON identity_links (identities, system, account);

CREATE TABLE ledger_chains (
  chain TEXT,
  writer TEXT,
  roles TEXT,
  version TEXT,
  opened_at TEXT,
  last_at TEXT,
  closed_at TEXT,
  records INTEGER,
  lost INTEGER,
  heartbeat_seconds INTEGER,
  exempt_namespaces TEXT
);
INSERT INTO ledger_chains
SELECT NULLIF(chain, ''),
       NULLIF(writer, ''),
       NULLIF(roles, ''),
       NULLIF(version, ''),
       NULLIF(opened_at, ''),
       NULLIF(last_at, ''),
       NULLIF(closed_at, ''),
       NULLIF(records, ''),
       NULLIF(lost, ''),
       NULLIF(heartbeat_seconds, ''),
       NULLIF(exempt_namespaces, '')
FROM csv_ledger_chains;
CREATE INDEX ledger_chains_by_chain ON ledger_chains (chain);

CREATE TABLE evaluations (
  uid TEXT,
  chain TEXT,
  seq INTEGER,
  recorded_at TEXT,
  operation TEXT,
  api_group TEXT,
  version TEXT,
  kind TEXT,
  subresource TEXT,
  namespace TEXT,
  name TEXT,
  user TEXT,
  dry_run TEXT,
  class TEXT,
  verdict TEXT,
  policy_set TEXT,
  rules TEXT,
  is_policy TEXT,
  object_sha256 TEXT
);
INSERT INTO evaluations
SELECT NULLIF(uid, ''),
       NULLIF(chain, ''),
       NULLIF(seq, ''),
       NULLIF(recorded_at, ''),
       NULLIF(operation, ''),
       NULLIF(api_group, ''),
       NULLIF(version, ''),
       NULLIF(kind, ''),
       NULLIF(subresource, ''),
       NULLIF(namespace, ''),
       NULLIF(name, ''),
       NULLIF(user, ''),
       NULLIF(dry_run, ''),
       NULLIF(class, ''),
       NULLIF(verdict, ''),
       NULLIF(policy_set, ''),
       NULLIF(rules, ''),
       NULLIF(is_policy, ''),
       NULLIF(object_sha256, '')
FROM csv_evaluations;
CREATE INDEX evaluations_by_uid ON evaluations (uid);

CREATE TABLE evaluation_rules (
  uid TEXT,
  policy TEXT,
  rule TEXT
);
INSERT INTO evaluation_rules
SELECT NULLIF(uid, ''),
       NULLIF(policy, ''),
       NULLIF(rule, '')
FROM csv_evaluation_rules;
CREATE INDEX evaluation_rules_by_uid ON evaluation_rules (uid);
CREATE INDEX evaluation_rules_by_policy ON evaluation_rules (policy);

CREATE TABLE writes (
  write_id INTEGER,
  at TEXT,
  state TEXT,
  user TEXT,
  impersonated TEXT,
  verb TEXT,
  object TEXT,
  api_group TEXT,
  version TEXT,
  kind TEXT,
  resource TEXT,
  subresource TEXT,
  namespace TEXT,
  name TEXT,
  code INTEGER,
  manager TEXT,
  witnesses TEXT,
  audit_id TEXT,
  reason TEXT
);
INSERT INTO writes
SELECT NULLIF(write_id, ''),
       NULLIF(at, ''),
       NULLIF(state, ''),
       NULLIF(user, ''),
       NULLIF(impersonated, ''),
       NULLIF(verb, ''),
       NULLIF(object, ''),
       NULLIF(api_group, ''),
       NULLIF(version, ''),
       NULLIF(kind, ''),
       NULLIF(resource, ''),
       NULLIF(subresource, ''),
       NULLIF(namespace, ''),
       NULLIF(name, ''),
       NULLIF(code, ''),
       NULLIF(manager, ''),
       NULLIF(witnesses, ''),
       NULLIF(audit_id, ''),
       NULLIF(reason, '')
FROM csv_writes;
CREATE INDEX writes_by_write_id ON writes (write_id);
CREATE INDEX writes_by_object ON writes (object);

CREATE TABLE write_reviews (
  write_id INTEGER,
  uid TEXT
);
INSERT INTO write_reviews
SELECT NULLIF(write_id, ''),
       NULLIF(uid, '')
FROM csv_write_reviews;
CREATE INDEX write_reviews_by_uid ON write_reviews (uid);
CREATE INDEX write_reviews_by_write_id ON write_reviews (write_id);

CREATE TABLE syncs (
  sync TEXT,
  recorded_at TEXT,
  agent_version TEXT,
  agent TEXT,
  application TEXT,
  repository TEXT,
  revision TEXT,
  previous TEXT,
  rendered_tree TEXT,
  outcome TEXT,
  message TEXT,
  objects_changed INTEGER,
  direction TEXT,
  in_revision TEXT,
  seconds_since_previous INTEGER
);
INSERT INTO syncs
SELECT NULLIF(sync, ''),
       NULLIF(recorded_at, ''),
       NULLIF(agent_version, ''),
       NULLIF(agent, ''),
       NULLIF(application, ''),
       NULLIF(repository, ''),
       NULLIF(revision, ''),
       NULLIF(previous, ''),
       NULLIF(rendered_tree, ''),
       NULLIF(outcome, ''),
       NULLIF(message, ''),
       NULLIF(objects_changed, ''),
       NULLIF(direction, ''),
       NULLIF(in_revision, ''),
       NULLIF(seconds_since_previous, '')
FROM csv_syncs;
CREATE INDEX syncs_by_sync ON syncs (sync);

CREATE TABLE sync_changes (
  sync TEXT,
  step TEXT,
  seconds INTEGER
);
INSERT INTO sync_changes
SELECT NULLIF(sync, ''),
       NULLIF(step, ''),
       NULLIF(seconds, '')
FROM csv_sync_changes;
CREATE INDEX sync_changes_by_sync ON sync_changes (sync);
CREATE INDEX sync_changes_by_step ON sync_changes (step);

CREATE TABLE drifts (
  chain TEXT,
  seq INTEGER,
  recorded_at TEXT,
  application TEXT,
  object TEXT,
  fields TEXT,
  managers TEXT,
  managers_at TEXT,
  resolution TEXT,
  seen_since TEXT,
  seconds INTEGER
);
INSERT INTO drifts
SELECT NULLIF(chain, ''),
       NULLIF(seq, ''),
       NULLIF(recorded_at, ''),
       NULLIF(application, ''),
       NULLIF(object, ''),
       NULLIF(fields, ''),
       NULLIF(managers, ''),
       NULLIF(managers_at, ''),
       NULLIF(resolution, ''),
       NULLIF(seen_since, ''),
       NULLIF(seconds, '')
FROM csv_drifts;
CREATE INDEX drifts_by_object ON drifts (object);

CREATE TABLE policies_in_force (
  chain TEXT,
  policy TEXT,
  kind TEXT,
  policy_set TEXT,
  valid_from TEXT,
  valid_to TEXT
);
INSERT INTO policies_in_force
SELECT NULLIF(chain, ''),
       NULLIF(policy, ''),
       NULLIF(kind, ''),
       NULLIF(policy_set, ''),
       NULLIF(valid_from, ''),
       NULLIF(valid_to, '')
FROM csv_policies_in_force;
CREATE INDEX policies_in_force_by_policy ON policies_in_force (policy);
CREATE INDEX policies_in_force_by_policy_set ON policies_in_force (policy_set);

CREATE TABLE control_intervals (
  component TEXT,
  valid_from TEXT,
  valid_to TEXT,
  state TEXT,
  basis TEXT,
  seconds INTEGER
);
INSERT INTO control_intervals
SELECT NULLIF(component, ''),
       NULLIF(valid_from, ''),
       NULLIF(valid_to, ''),
       NULLIF(state, ''),
       NULLIF(basis, ''),
       NULLIF(seconds, '')
FROM csv_control_intervals;
CREATE INDEX control_intervals_by_component ON control_intervals (component);

CREATE TABLE samples (
  subject TEXT,
  recorded_at TEXT,
  chain TEXT,
  seq INTEGER,
  digest TEXT,
  objects INTEGER,
  since TEXT,
  interval_seconds INTEGER,
  failure TEXT
);
INSERT INTO samples
SELECT NULLIF(subject, ''),
       NULLIF(recorded_at, ''),
       NULLIF(chain, ''),
       NULLIF(seq, ''),
       NULLIF(digest, ''),
       NULLIF(objects, ''),
       NULLIF(since, ''),
       NULLIF(interval_seconds, ''),
       NULLIF(failure, '')
FROM csv_samples;
CREATE INDEX samples_by_subject ON samples (subject);

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
CREATE INDEX controls_by_framework ON controls (framework, control);

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
CREATE INDEX control_tables_by_framework ON control_tables (framework, control);

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
