//! The JSON Schema of a list of actions, from the types.

use serde_json::{Value, json};

use super::{Common, MOST, What};

/// The JSON Schema of a list of actions.
#[must_use]
pub fn schema() -> Value {
    let mut what = schemars::schema_for!(What).to_value();
    let common = schemars::schema_for!(Common).to_value();
    let mut definitions = what.get_mut("$defs").map(Value::take).unwrap_or_else(|| json!({}));
    if let (Some(all), Some(more)) = (definitions.as_object_mut(), common.get("$defs").and_then(Value::as_object)) {
        all.extend(more.clone());
    }
    let shared = common.get("properties").cloned().unwrap_or_default();
    let mut variants = what.get_mut("oneOf").map(Value::take).unwrap_or_default();
    for variant in variants.as_array_mut().into_iter().flatten() {
        let properties = variant.get_mut("properties").and_then(Value::as_object_mut);
        if let (Some(properties), Some(shared)) = (properties, shared.as_object()) {
            properties.extend(shared.clone());
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Actions of EventMesh",
        "description": "What is done with a page before its content is taken, one after the other.",
        "type": "array",
        "maxItems": MOST,
        "items": { "description": what.get("description"), "oneOf": variants },
        "$defs": definitions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_its_own_fields_and_those_of_all() {
        let schema = schema();
        let variants = schema["items"]["oneOf"].as_array().expect("variants");
        assert_eq!(variants.len(), 19);
        for variant in variants {
            assert_eq!(variant["additionalProperties"], json!(false), "{variant}");
            for name in super::super::COMMON {
                assert!(variant["properties"].get(name).is_some(), "{name} in {variant}");
            }
            assert!(variant.get("description").is_some(), "{variant}");
        }
    }
}
