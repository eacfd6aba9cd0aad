//! `context`: variables, and what is fetched.

use provost_policy::{Inputs, Key, Policy, PolicySet};
use rstest::rstest;
use serde_json::json;

use super::{Asked, policy, read, thing, verdict, word};

/// What a rule says that denies where `{{ v }}` equals a value, with this context.
fn denies_where_v(context: &str, key: &str, value: &str, asked: &Asked) -> &'static str {
    let rule = format!(
        "{{context: {context}, validate: {{deny: {{conditions: {{all: [{{key: \"{{{{ {key} }}}}\", operator: Equals, value: {value}}}]}}}}}}}}"
    );
    match verdict(&rule, asked) {
        "fail" => "yes",
        "pass" => "no",
        other => other,
    }
}

#[rstest]
#[case::value("[{name: v, variable: {value: x}}]", "v", "x", "yes")]
#[case::value_with_variables(
    "[{name: v, variable: {value: {a: '{{ request.namespace }}'}}}]",
    "v.a",
    "shop",
    "yes"
)]
#[case::path("[{name: v, variable: {jmesPath: request.object.spec.num}}]", "v", "5", "yes")]
#[case::path_with_variables(
    "[{name: v, variable: {jmesPath: 'request.object.spec.{{ request.object.spec.which }}'}}]",
    "v",
    "5",
    "yes"
)]
#[case::path_in_value(
    "[{name: v, variable: {value: [3, 1, 2], jmesPath: 'max(@)'}}]",
    "v",
    "3",
    "yes"
)]
#[case::default_of_missing(
    "[{name: v, variable: {jmesPath: request.object.spec.none, default: d}}]",
    "v",
    "d",
    "yes"
)]
#[case::default_of_null(
    "[{name: v, variable: {jmesPath: request.object.spec.gone, default: d}}]",
    "v",
    "d",
    "yes"
)]
#[case::default_of_error(
    "[{name: v, variable: {jmesPath: 'length(request.object.spec.none)', default: 0}}]",
    "v",
    "0",
    "yes"
)]
#[case::default_with_variables(
    "[{name: v, variable: {jmesPath: request.object.spec.none, default: '{{ request.namespace }}'}}]",
    "v",
    "shop",
    "yes"
)]
#[case::default_is_empty(
    "[{name: v, variable: {jmesPath: request.object.spec.none, default: ''}}]",
    "v",
    "''",
    "yes"
)]
#[case::default_list(
    "[{name: v, variable: {jmesPath: request.object.spec.none, default: []}}]",
    "length(v)",
    "0",
    "yes"
)]
#[case::no_default(
    "[{name: v, variable: {jmesPath: request.object.spec.none}}]",
    "v",
    "x",
    "error"
)]
#[case::null_in_a_value_has_no_default(
    "[{name: v, variable: {value: {a: null}, jmesPath: a, default: d}}]",
    "v",
    "d",
    "error"
)]
#[case::missing_in_a_value_has(
    "[{name: v, variable: {value: {a: 1}, jmesPath: b, default: d}}]",
    "v",
    "d",
    "yes"
)]
#[case::false_is_a_value(
    "[{name: v, variable: {jmesPath: request.object.spec.disabled, default: true}}]",
    "v",
    "false",
    "yes"
)]
#[case::zero_is_a_value("[{name: v, variable: {value: 0}}]", "v", "0", "yes")]
#[case::null_is_none(
    "[{name: v, variable: {value: '{{ request.object.spec.gone }}'}}]",
    "v",
    "x",
    "error"
)]
#[case::the_one_before(
    "[{name: u, variable: {value: x}}, {name: v, variable: {value: '{{ u }}y'}}]",
    "v",
    "xy",
    "yes"
)]
#[case::not_the_one_behind(
    "[{name: v, variable: {value: '{{ u }}y'}}, {name: u, variable: {value: x}}]",
    "v",
    "xy",
    "error"
)]
#[case::itself_before(
    "[{name: v, variable: {value: x}}, {name: v, variable: {value: '{{ v }}y'}}]",
    "v",
    "xy",
    "yes"
)]
#[case::unused_ones_do_not_fail(
    "[{name: bad, variable: {jmesPath: request.object.spec.none}}, {name: v, variable: {value: x}}]",
    "v",
    "x",
    "yes"
)]
#[case::names_with_dashes("[{name: my-v, variable: {value: x}}]", r#"\"my-v\""#, "x", "yes")]
#[case::a_list_is_joined("[{name: v, variable: {value: [a, b]}}]", "join(',', v)", "'a,b'", "yes")]
fn variables_are_worked_out_when_they_are_used(
    #[case] context: &str,
    #[case] key: &str,
    #[case] value: &str,
    #[case] expected: &str,
) {
    let asked = thing("{num: 5, which: num, gone: null, disabled: false}");
    assert_eq!(denies_where_v(context, key, value, &asked), expected);
}

fn fetched() -> Inputs {
    let map = json!({"data": {"allowed": "[\"a\", \"b\"]", "a.b": "dotted"}, "metadata": {"name": "cm"}});
    let list = json!({"items": [{"metadata": {"name": "x"}}, {"metadata": {"name": "y"}}]});
    Inputs::from([
        (
            Key::ConfigMap {
                namespace: "default".to_owned(),
                name: "cm".to_owned(),
            },
            Ok(map),
        ),
        (
            Key::ConfigMap {
                namespace: "default".to_owned(),
                name: "none".to_owned(),
            },
            Err("not found".to_owned()),
        ),
        (
            Key::ApiCall {
                path: "/api/v1/namespaces/shop/pods".to_owned(),
            },
            Ok(list),
        ),
        (
            Key::ApiCall {
                path: "/api/v1/none".to_owned(),
            },
            Err("not found".to_owned()),
        ),
        (
            Key::GlobalContext("deployments".to_owned()),
            Ok(json!([{"name": "d"}])),
        ),
    ])
}

#[rstest]
#[case::config_map(
    "[{name: v, configMap: {name: cm, namespace: default}}]",
    "parse_json(v.data.allowed)[1]",
    "b",
    "yes"
)]
#[case::dotted(
    "[{name: v, configMap: {name: cm, namespace: default}}]",
    r#"v.data.\"a.b\""#,
    "dotted",
    "yes"
)]
#[case::its_name(
    "[{name: v, configMap: {name: cm, namespace: default}}]",
    "v.metadata.name",
    "cm",
    "yes"
)]
#[case::no_map(
    "[{name: v, configMap: {name: none, namespace: default}}]",
    "v.data.allowed",
    "x",
    "error"
)]
#[case::no_map_but_a_default(
    "[{name: v, configMap: {name: none, namespace: default}}]",
    "v.data.allowed || 'x'",
    "x",
    "error"
)]
#[case::no_key(
    "[{name: v, configMap: {name: cm, namespace: default}}]",
    "v.data.none || 'x'",
    "x",
    "yes"
)]
#[case::api_call(
    "[{name: v, apiCall: {urlPath: '/api/v1/namespaces/{{ request.namespace }}/pods', jmesPath: 'items[].metadata.name | length(@)'}}]",
    "v",
    "2",
    "yes"
)]
#[case::api_call_whole(
    "[{name: v, apiCall: {urlPath: '/api/v1/namespaces/{{ request.namespace }}/pods'}}]",
    "v.items[1].metadata.name",
    "'y'",
    "yes"
)]
#[case::api_call_method(
    "[{name: v, apiCall: {urlPath: /api/v1/namespaces/shop/pods, method: GET, jmesPath: 'items[0].metadata.name'}}]",
    "v",
    "x",
    "yes"
)]
#[case::api_call_default(
    "[{name: v, apiCall: {urlPath: /api/v1/none, jmesPath: items, default: []}}]",
    "length(v)",
    "0",
    "yes"
)]
#[case::api_call_failed("[{name: v, apiCall: {urlPath: /api/v1/none}}]", "v", "x", "error")]
#[case::path_with_variable(
    "[{name: v, apiCall: {urlPath: /api/v1/namespaces/shop/pods, jmesPath: \"items[?metadata.name == '{{ request.object.spec.num }}'] | length(@)\"}}]",
    "v",
    "1",
    "yes"
)]
#[case::global(
    "[{name: v, globalReference: {name: deployments, jmesPath: '[0].name'}}]",
    "v",
    "d",
    "yes"
)]
fn what_is_fetched_is_seen(
    #[case] context: &str,
    #[case] key: &str,
    #[case] value: &str,
    #[case] expected: &str,
) {
    let asked = Asked {
        inputs: fetched(),
        ..thing("{num: 'y'}")
    };
    assert_eq!(denies_where_v(context, key, value, &asked), expected);
}

#[rstest]
#[case::no_source("[{name: v}]")]
#[case::two_sources("[{name: v, variable: {value: 1}, configMap: {name: a, namespace: b}}]")]
#[case::no_name("[{variable: {value: 1}}]")]
#[case::reserved("[{name: request, variable: {value: 1}}]")]
#[case::reserved_root("[{name: images.a, variable: {value: 1}}]")]
#[case::default_alone("[{name: v, variable: {value: 1, default: 2}}]")]
#[case::nothing("[{name: v, variable: {}}]")]
#[case::bad_path("[{name: v, variable: {jmesPath: 'a['}}]")]
#[case::no_namespace("[{name: v, configMap: {name: a}}]")]
#[case::registry("[{name: v, imageRegistry: {reference: nginx}}]")]
#[case::post("[{name: v, apiCall: {urlPath: /api, method: POST, data: [{key: a, value: b}]}}]")]
fn an_entry_that_cannot_be_read_is_refused(#[case] context: &str) {
    let rule = format!("{{context: {context}, validate: {{deny: {{}}}}}}");
    assert_eq!(verdict(&rule, &thing("{}")), "refused");
}

#[rstest]
#[case::undefined("v.data.x", "error")]
#[case::with_a_default("v.data.x || 'd'", "yes")]
fn what_a_test_cannot_fetch_is_undefined(#[case] key: &str, #[case] expected: &str) {
    let unknown = Key::Stated {
        rule: String::new(),
        name: "v".to_owned(),
    };
    let asked = Asked {
        inputs: Inputs::from([(unknown, Err("no cluster".to_owned()))]),
        ..thing("{}")
    };
    let context = "[{name: v, configMap: {name: cm, namespace: default}}]";
    assert_eq!(denies_where_v(context, key, "d", &asked), expected);
}

#[rstest]
#[case::own("{name: v, configMap: {name: cm, namespace: default}}", "fail")]
#[case::empty("{name: v, configMap: {name: cm, namespace: ''}}", "fail")]
#[case::other("{name: v, configMap: {name: cm, namespace: kube-system}}", "error")]
#[case::own_path(
    "{name: v, apiCall: {urlPath: /api/v1/namespaces/default/pods, default: x}}",
    "fail"
)]
#[case::other_path(
    "{name: v, apiCall: {urlPath: /api/v1/namespaces/kube-system/secrets}}",
    "error"
)]
fn a_namespaced_policy_reads_its_own_namespace(#[case] entry: &str, #[case] expected: &str) {
    let rule = format!(
        "{{context: [{entry}], validate: {{deny: {{conditions: {{all: [{{key: '{{{{ v }}}}', operator: NotEquals, value: x}}]}}}}}}}}"
    );
    let mut written = policy(&rule);
    written["kind"] = json!("Policy");
    let (set, _) = PolicySet::compile([Policy::from_object(&written).unwrap()]);
    let mut inputs = fetched();
    inputs.insert(
        Key::ApiCall {
            path: "/api/v1/namespaces/default/pods".to_owned(),
        },
        Ok(json!({"items": []})),
    );
    let asked = Asked {
        object: read("{apiVersion: v1, kind: Thing, metadata: {name: t, namespace: default}}"),
        inputs,
        ..thing("{}")
    };
    assert_eq!(word(asked.results(&set).first()), expected);
}
