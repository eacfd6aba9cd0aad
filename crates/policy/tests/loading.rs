//! How long it takes to read many policies in CEL: an agent that starts, or a folder that changed, waits for it.

#![expect(clippy::print_stderr, reason = "a measurement, which says what it saw")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use provost_policy::{Policy, PolicySet};

const POLICIES: usize = 300;
/// In a release build it takes some hundredths of a second; this holds on a busy machine, unoptimised.
const MOST: Duration = Duration::from_secs(10);

#[test]
fn three_hundred_policies_in_cel_are_read_at_once() {
    let mut text = String::new();
    for number in 0..POLICIES {
        let _ = write!(text, "{}", policy(number));
    }
    let begin = Instant::now();
    let parsed = Policy::parse(&text, "policies.yaml");
    assert_eq!(parsed.faults, []);
    let (set, faults) = PolicySet::compile(parsed.policies);
    let took = begin.elapsed();
    assert_eq!(faults, []);
    assert_eq!(set.policies().len(), POLICIES);
    eprintln!("{POLICIES} policies in CEL, with the rules generated for controllers: read in {took:?}");
    assert!(took < MOST, "it took {took:?}");
}

/// A policy on Pods, so with generated rules, with an expression of every usual form.
fn policy(number: usize) -> String {
    format!(
        r#"---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{name: policy-{number}}}
spec:
  rules:
    - name: images-{number}
      match: {{any: [{{resources: {{kinds: [Pod]}}}}]}}
      validate:
        cel:
          variables:
            - name: containers
              expression: object.spec.containers + object.spec.?initContainers.orValue([])
            - name: allowed
              expression: "['registry-{number}.example.com/', 'mirror.example.com/']"
          expressions:
            - expression: variables.containers.all(c, variables.allowed.exists(a, c.image.startsWith(a)))
              message: images come from our registries
            - expression: "variables.containers.all(c, c.image.matches('^[a-z0-9./-]+(:[A-Za-z0-9._-]+)?(@sha256:[a-f0-9]{{64}})?$'))"
              messageExpression: "'one of ' + variables.containers.map(c, c.image).join(', ') + ' is no image'"
            - expression: >-
                !has(object.spec.securityContext) || !has(object.spec.securityContext.runAsUser) ||
                object.spec.securityContext.runAsUser > {number}
"#
    )
}
