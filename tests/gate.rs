//! What an answer says of the way that its page has gone, through the facade.

#![expect(clippy::expect_used, reason = "a test may fail")]

use eventmesh::gate::{Reason, Way};
use eventmesh::render::RenderOptions;
use eventmesh::{Chunk, Engine, RenderMode, Request};

/// An engine in a program that cannot be a browser's parent: nothing is rendered.
async fn engine() -> Engine {
    Engine::builder().workers(1).start().await.expect("it starts")
}

fn auto(page: impl Into<String>) -> Request {
    Request::bytes(page.into().into_bytes()).rendered(RenderMode::Auto, RenderOptions::default())
}

#[tokio::test]
async fn an_answer_says_which_way_its_page_has_gone_and_why() {
    let engine = engine().await;
    let article = format!(
        "<title>A page</title><main><h1>A page</h1>{}</main><script src=/a.js></script>",
        "<p>Some prose that is long enough to be content.</p>".repeat(40)
    );
    let answer = engine.extract(auto(article.clone())).document().await.expect("an answer");
    let route = answer.route.expect("a way");
    assert_eq!((route.route, route.reason, route.fell_back), (Way::Extract, Reason::HasContent, false));
    let features = route.features.expect("features");
    assert_eq!((features.words, features.scripts.external), (answer.document.word_count, 1));

    let answer = engine.extract(Request::bytes(article.into_bytes())).document().await.expect("an answer");
    let route = answer.route.expect("a way");
    assert_eq!((route.route, route.reason, route.features), (Way::Extract, Reason::Asked, None));

    // It would be rendered, and there is no browser.
    let answer = engine.extract(auto("<div id=root></div><script src=/a.js></script>")).document().await.expect("an answer");
    let route = answer.route.expect("a way");
    assert_eq!((route.route, route.reason, route.fell_back), (Way::Extract, Reason::EmptyRoot, true));
    engine.shutdown(std::time::Duration::ZERO).await;
}

#[tokio::test]
async fn the_way_is_told_before_the_content() {
    let engine = engine().await;
    let mut reply = engine.extract(auto("<p>Hello</p>"));
    let mut order = Vec::new();
    while let Some(chunk) = reply.next().await {
        order.push(match chunk {
            Chunk::Head(_) => "head",
            Chunk::Route(_) => "route",
            Chunk::Body(_) => "body",
            Chunk::Done(_) => "done",
            Chunk::Page(_) | Chunk::Picture(_) | Chunk::Rendered(_) | Chunk::Extract(..) | Chunk::Error(_) => "another",
        });
    }
    assert_eq!(order, ["head", "route", "body", "done"]);
    engine.shutdown(std::time::Duration::ZERO).await;
}
