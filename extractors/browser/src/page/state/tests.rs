//! Events that come in, and what is known of the page then.

use super::*;

fn state(events: &[(&str, &str)]) -> PageState {
    let mut state = PageState::new("F");
    state.log = true;
    for (method, params) in events {
        state.hear(&Event::for_test(method, params), 0, Instant::now(), (3, 1000));
    }
    state
}

#[tokio::test]
async fn a_document_comes_in() {
    let state = state(&[
        (
            "Network.requestWillBeSent",
            r#"{"requestId":"L","loaderId":"L","frameId":"F","type":"Document","request":{"url":"http://a/","method":"GET"}}"#,
        ),
        ("Page.lifecycleEvent", r#"{"frameId":"F","loaderId":"L","name":"init"}"#),
        (
            "Network.responseReceived",
            r#"{"requestId":"L","loaderId":"L","frameId":"F","type":"Document","response":{"url":"http://a/","status":404,"mimeType":"text/html","charset":"utf-8"}}"#,
        ),
        ("Page.frameNavigated", r#"{"frame":{"id":"F","loaderId":"L","url":"http://a/"}}"#),
        ("Page.lifecycleEvent", r#"{"frameId":"F","loaderId":"old","name":"load"}"#),
        ("Page.lifecycleEvent", r#"{"frameId":"F","loaderId":"L","name":"DOMContentLoaded"}"#),
        ("Network.loadingFinished", r#"{"requestId":"L","encodedDataLength":123}"#),
    ]);
    assert_eq!((state.parsed, state.loaded, state.head.status, state.url.as_str()), (true, false, Some(404), "http://a/"));
    assert_eq!(state.head.content_type.as_deref(), Some("text/html; charset=utf-8"));
    assert_eq!(state.waits_since(), None);
    assert_eq!((state.network.len(), state.network[0].bytes, state.network[0].status), (1, 123, Some(404)));
}

#[tokio::test]
async fn scripts_are_waited_for_and_pictures_are_not() {
    let request = |id: &str, kind: &str| {
        format!(r#"{{"requestId":"{id}","loaderId":"L","frameId":"F","type":"{kind}","request":{{"url":"http://a/{id}"}}}}"#)
    };
    let state =
        state(&[("Network.requestWillBeSent", &request("1", "Script")), ("Network.requestWillBeSent", &request("2", "Image"))]);
    assert!(state.waits_since().is_some());
    let state = self::state(&[("Network.requestWillBeSent", &request("2", "Image"))]);
    assert!(state.waits_since().is_none());
}

#[tokio::test]
async fn what_a_document_waited_for_goes_with_it() {
    let state = state(&[
        (
            "Network.requestWillBeSent",
            r#"{"requestId":"1","loaderId":"old","frameId":"F","type":"Script","request":{"url":"http://a/1"}}"#,
        ),
        (
            "Network.requestWillBeSent",
            r#"{"requestId":"new","loaderId":"new","frameId":"F","type":"Document","request":{"url":"http://a/2"}}"#,
        ),
        ("Page.frameNavigated", r#"{"frame":{"id":"F","loaderId":"new","url":"http://a/2"}}"#),
        ("Network.loadingFinished", r#"{"requestId":"new"}"#),
    ]);
    assert!(state.waits_since().is_none());
}

#[tokio::test]
async fn too_much_is_seen() {
    let request = |id: u32| format!(r#"{{"requestId":"{id}","request":{{"url":"http://a/"}}}}"#);
    let requests: Vec<String> = (0..4).map(request).collect();
    let events: Vec<(&str, &str)> = requests.iter().map(|text| ("Network.requestWillBeSent", text.as_str())).collect();
    assert!(state(&events[..3]).too_much.is_none());
    assert!(state(&events).too_much.is_some());
    assert!(state(&[("Network.dataReceived", r#"{"requestId":"1","dataLength":1001}"#)]).too_much.is_some());
}

#[tokio::test]
async fn garbage_changes_nothing() {
    for method in
        ["Network.requestWillBeSent", "Page.lifecycleEvent", "Runtime.exceptionThrown", "New.thing", "Page.frameNavigated"]
    {
        for params in ["{}", "[]", "nonsense", r#"{"requestId":5}"#] {
            let state = state(&[(method, params)]);
            assert_eq!((state.version, state.requests, state.console.len()), (0, 0, 0), "{method} {params}");
        }
    }
}

#[tokio::test]
async fn what_a_worker_asks_for_counts_and_is_not_waited_for() {
    let mut state = PageState::new("F");
    let ask = |id: &str| {
        let params = format!(r#"{{"requestId":"77.{id}","type":"Script","request":{{"url":"http://a/{id}"}}}}"#);
        Event::for_test("Network.requestWillBeSent", &params)
    };
    for id in ["1", "2", "3"] {
        state.hear(&ask(id), WORKER, Instant::now(), (3, 1000));
    }
    assert_eq!((state.requests, state.waits_since(), state.version), (3, None, 0));
    assert_eq!(state.too_much, None);
    state.hear(&ask("4"), WORKER, Instant::now(), (3, 1000));
    assert!(state.too_much.is_some());
    let data = Event::for_test("Network.dataReceived", r#"{"requestId":"77.1","dataLength":1001}"#);
    let mut state = PageState::new("F");
    state.hear(&data, WORKER, Instant::now(), (3, 1000));
    assert!(state.too_much.is_some());
}

#[tokio::test]
async fn requests_tell_which_processes_make_them() {
    let ask = |id: &str| format!(r#"{{"requestId":"{id}","request":{{"url":"data:,"}}}}"#);
    let mut state = PageState::new("F");
    for id in ["12.1", "278FECDEA0CC440E1A728A407B600780", "13.1", "12.2", "x.1", "-1.1", "99999999999.1"] {
        state.hear(&Event::for_test("Network.requestWillBeSent", &ask(id)), 0, Instant::now(), (3, 1000));
    }
    assert_eq!(state.pids, [13, 12]);
    for pid in 100..200 {
        let event = Event::for_test("Network.requestWillBeSent", &ask(&format!("{pid}.1")));
        state.hear(&event, 0, Instant::now(), (3, 1000));
    }
    assert_eq!((state.pids.len(), state.pids.last()), (PROCESSES, Some(&199)));
}

#[tokio::test]
async fn a_response_is_seen_however_many_came_before_it() {
    let came = |count: usize, last: &str| {
        let mut state = PageState::new("F");
        state.awaited = Some(Awaited { part: "/late".to_owned(), came: false });
        for number in 0..count {
            let params = format!(r#"{{"requestId":"1.{number}","response":{{"url":"http://a/{number}"}}}}"#);
            state.hear(&Event::for_test("Network.responseReceived", &params), 0, Instant::now(), (3, 1000));
        }
        let params = format!(r#"{{"requestId":"1.x","response":{{"url":"http://a{last}?q"}}}}"#);
        state.hear(&Event::for_test("Network.responseReceived", &params), 0, Instant::now(), (3, 1000));
        state.awaited.is_some_and(|awaited| awaited.came)
    };
    assert!(came(0, "/late") && came(MESSAGES + 1, "/late"));
    assert!(!came(MESSAGES + 1, "/other"));
}

#[tokio::test]
async fn headers_are_those_of_the_last_document() {
    let answer = |kind: &str, id: &str, headers: &str| {
        format!(
            r#"{{"requestId":"{id}","loaderId":"L","frameId":"F","type":"{kind}","response":{{"url":"http://a/","headers":{headers}}}}}"#
        )
    };
    let document = answer("Document", "L", r#"{"Cache-Control":"max-age=5\nno-transform","ETag":"\"x\"","Server":"s"}"#);
    let picture = answer("Image", "1.1", r#"{"cache-control":"no-store"}"#);
    let mut state = state(&[
        ("Network.responseReceived", document.as_str()),
        ("Page.frameNavigated", r#"{"frame":{"id":"F","loaderId":"L","url":"http://a/"}}"#),
        ("Network.responseReceived", picture.as_str()),
    ]);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = [pair("cache-control", "max-age=5"), pair("cache-control", "no-transform"), pair("etag", "\"x\"")];
    assert_eq!(state.head.headers, expected);
    state.leave(None);
    assert!(state.head.headers.is_empty(), "the next document has its own");
    state.stay();
    assert_eq!(state.head.headers, expected, "it was only another place in the same document");
}

#[tokio::test]
async fn a_document_that_was_left_is_not_taken_for_the_next_one() {
    let life = |loader: &str, name: &str| {
        Event::for_test("Page.lifecycleEvent", &format!(r#"{{"frameId":"F","loaderId":"{loader}","name":"{name}"}}"#))
    };
    let goes = |loader: &str| {
        Event::for_test(
            "Page.frameNavigated",
            &format!(r#"{{"frame":{{"id":"F","loaderId":"{loader}","url":"http://{loader}/"}}}}"#),
        )
    };
    let left = [life("old", "commit"), goes("old"), life("old", "DOMContentLoaded"), life("old", "load")];
    let came = [life("new", "init"), goes("new"), life("new", "DOMContentLoaded"), life("new", "load")];
    // However much of the one before is heard only after the answer of the next one, or of the one after that before it.
    for late in 0..=left.len() {
        for early in 0..=came.len() {
            if late > 0 && early > 0 {
                continue;
            }
            let mut state = PageState::new("F");
            let hear = |state: &mut PageState, event: &Event| state.hear(event, 0, Instant::now(), (3, 1000));
            state.leave(None);
            left[..left.len() - late].iter().chain(&came[..early]).for_each(|event| hear(&mut state, event));
            state.brought("new");
            for event in &left[left.len() - late..] {
                hear(&mut state, event);
                assert!(!state.loaded && !state.parsed && !state.has_come(), "{late}: that is the old one");
            }
            assert_eq!(state.has_come(), early > 1, "{early}");
            came[early..].iter().for_each(|event| hear(&mut state, event));
            assert!(state.has_come() && state.loaded && state.url == "http://new/", "{late} {early}: {}", state.url);
            // It goes elsewhere by itself.
            hear(&mut state, &life("next", "init"));
            assert!(!state.loaded && state.loader == "next");
        }
    }
}

#[tokio::test]
async fn a_document_that_breaks_off_is_not_there() {
    let begun = [
        (
            "Network.requestWillBeSent",
            r#"{"requestId":"L","loaderId":"L","frameId":"F","type":"Document","request":{"url":"http://a/","method":"GET"}}"#,
        ),
        ("Page.frameNavigated", r#"{"frame":{"id":"F","loaderId":"L","url":"http://a/"}}"#),
    ];
    let failed = |more: &[(&str, &str)]| state(&[&begun, more].concat()).failure().map(str::to_owned);
    let ended = |id: &str, why: &str| format!(r#"{{"requestId":"{id}","errorText":"{why}"}}"#);
    let reset = ended("L", "net::ERR_CONNECTION_RESET");
    assert_eq!(failed(&[("Network.loadingFailed", &reset)]).as_deref(), Some("net::ERR_CONNECTION_RESET"));
    let mut passed = state(&[begun[0], begun[1], ("Network.loadingFailed", &reset)]);
    passed.pass_over();
    assert_eq!(passed.network[0].error.as_deref(), Some("net::ERR_CONNECTION_RESET"));
    assert!(passed.is_void() && passed.parsed, "whoever goes on does not wait for the rest");
    // The page itself wants no more of it, or has written another one in its place; something else failed; all of it came.
    assert_eq!(failed(&[("Network.loadingFailed", &ended("L", ABORTED))]), None);
    let parsed = ("Page.lifecycleEvent", r#"{"frameId":"F","loaderId":"L","name":"DOMContentLoaded"}"#);
    assert_eq!(failed(&[parsed, ("Network.loadingFailed", &reset)]), None);
    assert_eq!(failed(&[("Network.loadingFailed", &ended("1.1", "net::ERR_CONNECTION_RESET"))]), None);
    assert_eq!(failed(&[("Network.loadingFinished", r#"{"requestId":"L","encodedDataLength":1}"#)]), None);
    // It has asked for another one meanwhile, for which there is nothing to show.
    let next = (begun[0].0, &*begun[0].1.replace('L', "N"));
    let nothing = ("Network.loadingFailed", &*ended("N", ABORTED));
    assert!(failed(&[next, nothing, ("Network.loadingFailed", &reset)]).is_some());
    // And is there no more.
    let blank = ("Page.frameNavigated", r#"{"frame":{"id":"F","loaderId":"B","url":"about:blank"}}"#);
    assert_eq!(failed(&[("Network.loadingFailed", &reset), blank]), None);
}

#[tokio::test]
async fn a_document_that_does_not_come_fails_when_something_stands_in_for_it() {
    let ask = r#"{"requestId":"N","loaderId":"N","frameId":"F","type":"Document","request":{"url":"https://b/","method":"GET"}}"#;
    let begun = [
        ("Page.frameNavigated", r#"{"frame":{"id":"F","loaderId":"L","url":"http://a/"}}"#),
        ("Network.requestWillBeSent", ask),
        ("Network.loadingFailed", r#"{"requestId":"N","errorText":"net::ERR_CONNECTION_REFUSED"}"#),
    ];
    let mut state = state(&begun);
    assert_eq!((state.failure(), state.url.as_str()), (None, "http://a/"), "the one before is still there");
    let instead = r#"{"frame":{"id":"F","loaderId":"N","url":"chrome-error://chromewebdata/","unreachableUrl":"https://b/"}}"#;
    state.hear(&Event::for_test("Page.frameNavigated", instead), 0, Instant::now(), (3, 1000));
    assert_eq!((state.failure(), state.url.as_str()), (Some("net::ERR_CONNECTION_REFUSED"), "https://b/"));
    state.pass_over();
    assert_eq!((state.failure(), state.is_void()), (None, true));
    state.leave(None);
    assert!(!state.is_void(), "the next one is another");
    // Whoever asked for the next one is told first, and what was answered on the way there is none of its own.
    let redirected = r#"{"requestId":"M","loaderId":"M","frameId":"F","type":"Document","request":{"url":"https://b/"},"redirectResponse":{"status":302}}"#;
    state.hear(&Event::for_test("Network.requestWillBeSent", redirected), 0, Instant::now(), (3, 1000));
    state.brought("M");
    assert_eq!((state.failure(), state.has_come(), state.head.status), (None, false, Some(302)));
    let instead = instead.replace("\"N\"", "\"M\"");
    state.hear(&Event::for_test("Page.frameNavigated", &instead), 0, Instant::now(), (3, 1000));
    assert_eq!((state.failure(), state.has_come(), state.head.status), (Some("net::ERR_FAILED"), true, None));
    assert!(state.was_led(), "the first one was there");
    // It stays for what is no document.
    state.leave(None);
    assert_eq!(state.failure(), None);
    state.stay();
    assert!(state.failure().is_some());
}

#[tokio::test]
async fn the_head_is_that_of_the_document_that_is_there() {
    let answer = |id: &str, status: u16, more: &str| {
        format!(
            r#"{{"requestId":"{id}","loaderId":"{id}","frameId":"F","type":"Document","response":{{"url":"http://a/","status":{status},"mimeType":"text/html"{more}}}}}"#
        )
    };
    let goes = r#"{"frame":{"id":"F","loaderId":"L","url":"http://a/"}}"#;
    let (there, nothing) = (answer("L", 200, ""), answer("N", 204, ""));
    let begun = [
        ("Network.responseReceived", there.as_str()),
        ("Page.frameNavigated", goes),
        ("Network.responseReceived", nothing.as_str()),
    ];
    let mut state = state(&begun);
    assert_eq!((state.head.status, state.answered_with()), (Some(200), Some(204)));
    // What the proxy answers is none, and is trouble as soon as it is there.
    let proxy = answer("P", 502, r#","headers":{"proxy-status":"eventmesh; error=dns_error"}"#);
    state.hear(&Event::for_test("Network.responseReceived", &proxy), 0, Instant::now(), (3, 1000));
    assert_eq!(state.failure(), None);
    state.hear(&Event::for_test("Page.frameNavigated", &goes.replace('L', "P")), 0, Instant::now(), (3, 1000));
    assert_eq!((state.failure(), state.head.status), (Some("net::ERR_NAME_NOT_RESOLVED"), None));
}

#[tokio::test]
async fn what_the_page_says_of_itself_does_not_keep_it_from_going_back() {
    let mut state = state(&[
        ("Page.frameNavigated", r#"{"frame":{"id":"F","loaderId":"L","url":"http://a/"}}"#),
        ("Page.lifecycleEvent", r#"{"frameId":"F","loaderId":"L","name":"DOMContentLoaded"}"#),
    ]);
    let within = |url: &str| Event::for_test("Page.navigatedWithinDocument", &format!(r#"{{"frameId":"F","url":"{url}"}}"#));
    for (url, there) in [("http://a/#noise", false), ("http://a/?before", true)] {
        state.leave(Some("http://a/?before".to_owned()));
        state.hear(&within(url), 0, Instant::now(), (3, 1000));
        assert_eq!((state.parsed, state.url.as_str()), (there, url));
        state.stay();
    }
}

#[tokio::test]
async fn what_is_stopped_is_all_of_it() {
    let goes = ("Page.frameNavigated", r#"{"frame":{"id":"F","loaderId":"L","url":"http://a/"}}"#);
    let asks = (
        "Network.requestWillBeSent",
        r#"{"requestId":"L","loaderId":"L","frameId":"F","type":"Document","request":{"url":"http://a/","method":"GET"}}"#,
    );
    let mut state = state(&[asks, goes]);
    state.stop();
    assert!(state.parsed && state.waits_since().is_none(), "nobody says that it has ended");
    state.leave(None);
    state.stop();
    assert!(state.parsed && state.loader == "L", "it has never been left");
}
