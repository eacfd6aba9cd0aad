use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

fn object() -> Value {
    json!({
        "metadata": {"labels": {"app.kubernetes.io/name": "a", "other": "b"}, "annotations": {"x/one": "1", "x/two": "2", "y": "3"}},
        "spec": {"replicas": 3, "template": {"spec": {
            "containers": [
                {"name": "web", "image": "web:1", "env": [{"name": "A", "value": "1"}, {"name": "B"}]},
                {"name": "sidecar", "image": "mesh:1"},
            ],
            "initContainers": [{"name": "inject"}, {"name": "own"}],
        }}},
        "webhooks": [{"name": "w", "clientConfig": {"caBundle": "x"}}, {"name": "v"}],
        "count": [1, 2, 3],
    })
}

fn paths(expression: &str) -> Vec<String> {
    let expression = Expression::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let paths = expression.paths(&object()).unwrap();
    paths.iter().map(ToString::to_string).collect()
}

#[rstest]
#[case(".spec.replicas", &["spec.replicas"])]
#[case(".spec.nothing", &[])]
#[case(".spec.replicas.deeper", &[])]
#[case(".", &[])]
#[case(".metadata.labels[\"app.kubernetes.io/name\"]", &["metadata.labels[\"app.kubernetes.io/name\"]"])]
#[case(".metadata.labels.\"app.kubernetes.io/name\"", &["metadata.labels[\"app.kubernetes.io/name\"]"])]
#[case(".[\"spec\"].replicas", &["spec.replicas"])]
#[case(".webhooks[].clientConfig.caBundle", &["webhooks[0].clientConfig.caBundle"])]
#[case(".webhooks[]?.clientConfig.caBundle", &["webhooks[0].clientConfig.caBundle"])]
#[case(".webhooks | .[0] | .name", &["webhooks[0].name"])]
#[case(".webhooks[-1].name", &["webhooks[1].name"])]
#[case(".webhooks[7].name", &[])]
#[case(".spec.template.spec.initContainers[] | select(.name == \"inject\")", &["spec.template.spec.initContainers[0]"])]
#[case(".spec.template.spec.containers[] | select(.name != \"web\") | .image", &["spec.template.spec.containers[1].image"])]
#[case(".spec.template.spec.containers[].env[] | select(.name == \"B\")", &["spec.template.spec.containers[0].env[1]"])]
#[case(".spec.template.spec.containers[] | select(.image | startswith(\"mesh:\"))", &["spec.template.spec.containers[1]"])]
#[case(".spec.template.spec.containers[] | select(.image | test(\"^web:[0-9]+$\")) .name", &["spec.template.spec.containers[0].name"])]
#[case(".spec.template.spec.containers[] | select(has(\"env\") | not)", &["spec.template.spec.containers[1]"])]
#[case(".spec.template.spec.containers[] | select(.env | any(.name == \"A\"))", &["spec.template.spec.containers[0]"])]
#[case(".spec.template.spec.containers[] | select(.name == \"web\" and .env != null)", &["spec.template.spec.containers[0]"])]
#[case(".spec.template.spec.containers[] | select(.name == \"x\" or .name == \"sidecar\").name", &["spec.template.spec.containers[1].name"])]
#[case("..|.caBundle?", &["webhooks[0].clientConfig.caBundle"])]
#[case(".. | select(type == \"number\")", &["count[0]", "count[1]", "count[2]", "spec.replicas"])]
#[case(".count[] | select(. >= 2)", &["count[1]", "count[2]"])]
#[case(".count | first(.[])", &["count[0]"])]
#[case("last(.count[])", &["count[2]"])]
#[case(".spec.replicas, .webhooks[1]", &["spec.replicas", "webhooks[1]"])]
#[case("(.spec, .metadata) | .replicas", &["spec.replicas"])]
#[case(".nothing // .spec.replicas", &["spec.replicas"])]
#[case(".spec.replicas // .count", &["spec.replicas"])]
#[case("if .spec.replicas > 2 then .spec.replicas else .count end", &["spec.replicas"])]
#[case("if .nothing then .spec elif .count then .count else empty end", &["count"])]
#[case("if .nothing then .spec end", &[])]
#[case("getpath([\"spec\", \"replicas\"])", &["spec.replicas"])]
#[case(".metadata.annotations[(.metadata.annotations | keys[] | select(startswith(\"x/\")))]", &["metadata.annotations[\"x/one\"]", "metadata.annotations[\"x/two\"]"])]
#[case(".webhooks.[0].name # the first", &["webhooks[0].name"])]
#[case(".spec.template.spec.containers[] | select(.name | contains(\"side\"))", &["spec.template.spec.containers[1]"])]
#[case(".spec.template.spec.containers[] | select([.name] | inside([\"web\", \"x\"]))", &["spec.template.spec.containers[0]"])]
#[case(".spec.template.spec.containers[] | select(.env | length == 0)", &["spec.template.spec.containers[1]"])]
#[case("\"made\"", &[])]
fn an_expression_names_paths(#[case] expression: &str, #[case] expected: &[&str]) {
    assert_eq!(paths(expression), expected);
}

#[rstest]
#[case("", "an expression is wanted, at character 1")]
#[case(".a |", "an expression is wanted, at character 5")]
#[case(".a = 1", "'=' is not done here, at character 4")]
#[case(".a |= 1", "|= names no path here, at character 4")]
#[case(".a + 1", "+ names no path here, at character 4")]
#[case("map(.a)", "map with 1 arguments is not known here, at character 1")]
#[case("def f: f; f", "':' is not done here, at character 6")]
#[case(".[] as $x | $x", "'$' is not done here, at character 8")]
#[case("env", "env with 0 arguments is not known here, at character 1")]
#[case("input", "input with 0 arguments is not known here, at character 1")]
#[case("{a: 1}", "':' is not done here, at character 3")]
#[case(".a[", "an expression is wanted, at character 4")]
#[case(".a[1", "\"]\" is wanted, at character 5")]
#[case("select(.a; .b)", "';' is not done here, at character 10")]
#[case(".a \"\\(.b)\"", "values inside of texts are not done here, at character 4")]
#[case("\"open", "the text has no end, at character 1")]
fn what_names_no_path_is_refused(#[case] expression: &str, #[case] message: &str) {
    assert_eq!(Expression::parse(expression).unwrap_err().to_string(), message);
}

#[test]
fn an_expression_that_nests_too_deep_is_refused() {
    let deep = format!("{}.a{}", "(".repeat(500), ")".repeat(500));
    assert!(Expression::parse(&deep).is_err());
    assert!(Expression::parse(&".a".repeat(5_000)).is_err());
}

#[rstest]
#[case("select(.a[] == .a[])")]
#[case(".a[] | select([([1, 2, 3] | ..), ([1, 2, 3] | .. | ..)] | length > 0)")]
#[case(".. | .. | .. | ..")]
fn an_expression_that_takes_too_long_is_stopped(#[case] expression: &str) {
    let object = json!({"a": vec![1; 20_000], "deep": (0..40).fold(json!([1, 2]), |inner, _| json!([inner, 1, 2, 3]))});
    assert_eq!(
        Expression::parse(expression).unwrap().paths(&object),
        Err(OutOfSteps)
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in r#"[.a-c\[\]()|,?"= 0-9]{0,24}"#) {
        if let Ok(expression) = Expression::parse(&text) {
            let _ = expression.paths(&object());
        }
    }
}
