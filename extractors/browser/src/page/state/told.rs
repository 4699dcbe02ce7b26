//! What a browser tells of a page, as far as it is needed.

use serde::Deserialize;

use super::headers::Headers;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) request_id: String,
    #[serde(default)]
    pub(super) loader_id: String,
    #[serde(default)]
    pub(super) frame_id: String,
    pub(super) request: RequestHead,
    #[serde(default)]
    pub(super) r#type: String,
    pub(super) redirect_response: Option<ResponseHead>,
}

#[derive(Deserialize)]
pub(super) struct RequestHead {
    pub(super) url: String,
    #[serde(default)]
    pub(super) method: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    pub(super) request_id: String,
    #[serde(default)]
    pub(super) loader_id: String,
    #[serde(default)]
    pub(super) frame_id: String,
    #[serde(default)]
    pub(super) r#type: String,
    pub(super) response: ResponseHead,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResponseHead {
    #[serde(default)]
    pub(super) url: String,
    #[serde(default)]
    pub(super) status: u16,
    #[serde(default)]
    pub(super) mime_type: String,
    #[serde(default)]
    pub(super) charset: String,
    #[serde(default)]
    pub(super) headers: Headers,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ended {
    pub(super) request_id: String,
    #[serde(default)]
    pub(super) encoded_data_length: f64,
    #[serde(default)]
    pub(super) error_text: Option<String>,
    #[serde(default)]
    pub(super) blocked_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data {
    pub(super) request_id: String,
    #[serde(default)]
    pub(super) encoded_data_length: f64,
    #[serde(default)]
    pub(super) data_length: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lifecycle {
    pub(super) frame_id: String,
    #[serde(default)]
    pub(super) loader_id: String,
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct Navigated {
    pub(super) frame: Frame,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Frame {
    pub(super) id: String,
    #[serde(default)]
    pub(super) loader_id: String,
    #[serde(default)]
    pub(super) url: String,
    pub(super) unreachable_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Within {
    pub(super) frame_id: String,
    pub(super) url: String,
}

#[derive(Deserialize)]
pub(super) struct Created {
    pub(super) context: Context,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Context {
    pub(super) id: i64,
    #[serde(default)]
    pub(super) aux_data: Auxiliary,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Auxiliary {
    pub(super) is_default: bool,
    pub(super) frame_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Destroyed {
    pub(super) execution_context_id: i64,
}

#[derive(Deserialize)]
pub(super) struct Called {
    #[serde(default)]
    pub(super) r#type: String,
    #[serde(default)]
    pub(super) args: Vec<Argument>,
}

#[derive(Deserialize)]
pub(super) struct Argument {
    pub(super) value: Option<serde_json::Value>,
    pub(super) description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Thrown {
    pub(super) exception_details: Details,
}

#[derive(Deserialize)]
pub(super) struct Details {
    #[serde(default)]
    pub(super) text: String,
    pub(super) exception: Option<Argument>,
}

impl Argument {
    pub(super) fn told(&self) -> String {
        match (&self.value, &self.description) {
            (Some(serde_json::Value::String(text)), _) => text.clone(),
            (Some(value), None) => value.to_string(),
            (_, Some(description)) => description.clone(),
            (None, None) => "undefined".to_owned(),
        }
    }
}
