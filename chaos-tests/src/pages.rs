//! A site of pages that take their time, each in a way of its own, and pages to be acted upon or to be survived.
//!
//! A page of [`SETTLING`] is complete once it has an element `#done`, which says when that was: milliseconds since the epoch, by the
//! clock of the page itself, as `data-at`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use eventmesh_actors::spawn_named;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// Makes the last element, in a page's own words.
const DONE: &str = "function done(where){const d=document.createElement('div');d.id='done';d.textContent='COMPLETE';\
    d.dataset.at=performance.timeOrigin+performance.now();(where||document.body).append(d)}\
    function text(n){return Array.from({length:n},(_,i)=>`<p>Paragraph ${i} of what came later: the quick brown fox jumps over the lazy dog.</p>`).join('')}";

const PROSE: &str = "<h1>A page</h1><p>Some prose that stands in the document from its beginning, long enough to be taken for content by \
    whoever looks at it, with a second sentence, and then with a third one that is there for the length of it alone.</p>\
    <p>And another paragraph, so that the page has more than two hundred letters without any script having run at all.</p>";

/// Pages that are complete at some time: name, and what is in the body.
pub const SETTLING: &[(&str, &str)] = &[
    ("static", "<div id=done>COMPLETE</div>"),
    ("static-styled", "<link rel=stylesheet href=/slow.css?ms=80><div id=done>COMPLETE</div>"),
    ("inline-script", "<script>document.body.insertAdjacentHTML('beforeend',text(20));done()</script>"),
    ("deferred-script", "<script defer src=/script.js?ms=60></script>"),
    ("async-script", "<script async src=/script.js?ms=150></script>"),
    ("module-script", "<script type=module>import {go} from '/module.js?ms=80';go()</script>"),
    ("dynamic-import", "<script>import('/module.js?ms=120').then(m=>m.go())</script>"),
    (
        "inserted-script",
        "<script>const s=document.createElement('script');s.src='/script.js?ms=120';document.body.append(s)</script>",
    ),
    (
        "fetch",
        "<div id=root></div><script>fetch('/data?ms=100').then(r=>r.json()).then(()=>{root.innerHTML=text(20);done()})</script>",
    ),
    (
        "slow-fetch",
        "<div id=root>loading</div><script>fetch('/data?ms=700').then(r=>r.json()).then(()=>{root.innerHTML=text(20);done()})</script>",
    ),
    (
        "fetch-chain",
        "<div id=root></div><script>(async()=>{for(const ms of [80,60,90]){await (await fetch('/data?ms='+ms)).json();root.innerHTML+=text(5)}done()})()</script>",
    ),
    (
        "xhr",
        "<div id=root></div><script>const x=new XMLHttpRequest();x.open('GET','/data?ms=150');x.onload=()=>{root.innerHTML=text(20);done()};x.send()</script>",
    ),
    ("late-timer", "<div id=root></div><script>setTimeout(()=>{root.innerHTML=text(20);done()},400)</script>"),
    (
        "timer-chain",
        "<div id=root></div><script>let n=0;(function tick(){if(++n>3){done();return}root.innerHTML+=text(3);setTimeout(tick,120)})()</script>",
    ),
    (
        "awaited-timers",
        "<div id=root></div><script>const nap=ms=>new Promise(r=>setTimeout(r,ms));(async()=>{await nap(90);root.innerHTML=text(5);await nap(90);root.innerHTML+=text(5);await nap(90);done()})()</script>",
    ),
    (
        "long-poll",
        "<div id=root></div><script>fetch('/never');fetch('/data?ms=80').then(r=>r.json()).then(()=>{root.innerHTML=text(20);done()})</script>",
    ),
    (
        "poller",
        "<div id=root></div><script>setInterval(()=>fetch('/data?ms=5').then(r=>r.json()),60);fetch('/data?ms=150&x').then(r=>r.json()).then(()=>{root.innerHTML=text(20);done()})</script>",
    ),
    (
        "websocket",
        "<div id=root></div><script>const w=new WebSocket('ws://'+location.host+'/socket');fetch('/data?ms=80').then(r=>r.json()).then(()=>{root.innerHTML=text(20);done()})</script>",
    ),
    (
        "event-source",
        "<div id=root></div><script>const e=new EventSource('/events');fetch('/data?ms=80').then(r=>r.json()).then(()=>{root.innerHTML=text(20);done()})</script>",
    ),
    (
        "spinner",
        "<style>@keyframes r{to{transform:rotate(360deg)}}#s{width:20px;height:20px;border:2px solid;animation:r 1s linear infinite}</style><div id=s></div><span id=clock></span><div id=root></div><script>setInterval(()=>{clock.textContent=performance.now()|0},50);fetch('/data?ms=150').then(r=>r.json()).then(()=>{root.innerHTML=text(20);done()})</script>",
    ),
    (
        "router",
        "<div id=root></div><script>history.pushState({},'','/page/router?view=2');fetch('/data?ms=60').then(r=>r.json()).then(()=>{root.innerHTML=text(10);history.replaceState({},'','/page/router?view=3');done()})</script>",
    ),
    (
        "hydration",
        "<div id=root><p>Rendered on the server, and about to be replaced by what the client makes of it.</p></div><script>window.addEventListener('load',()=>setTimeout(()=>{root.innerHTML=text(20);done()},30))</script>",
    ),
    (
        "web-component",
        "<x-card></x-card><script>customElements.define('x-card',class extends HTMLElement{connectedCallback(){const s=this.attachShadow({mode:'open'});fetch('/data?ms=120').then(r=>r.json()).then(()=>{s.innerHTML=text(20);done(s)})}})</script>",
    ),
    ("iframe", "<iframe src='/page/fetch' width=600 height=400></iframe>"),
    ("foreign-iframe", "<iframe src='http://localhost:PORT/page/fetch' width=600 height=400></iframe>"),
    (
        "lazy",
        "<div id=root style='height:20px'></div><script>new IntersectionObserver((e,o)=>{if(!e[0].isIntersecting)return;o.disconnect();fetch('/data?ms=80').then(r=>r.json()).then(()=>{root.innerHTML=text(20);done()})}).observe(root)</script>",
    ),
    ("redirect", "<script>location.replace('/page/fetch')</script>"),
    (
        "animation-frame",
        "<div id=root></div><script>let f=0;(function go(){if(++f<6)return requestAnimationFrame(go);root.innerHTML=text(20);done()})()</script>",
    ),
    ("idle-callback", "<div id=root></div><script>requestIdleCallback(()=>{root.innerHTML=text(20);done()})</script>"),
    (
        // For a while there is no time for it.
        "late-idle-callback",
        "<div id=root></div><script>requestIdleCallback(()=>{root.innerHTML=text(20);done()});let n=0;const c=new MessageChannel();\
         c.port1.onmessage=()=>{const end=performance.now()+8;while(performance.now()<end);if(++n<25)c.port2.postMessage(0)};\
         c.port2.postMessage(0)</script>",
    ),
    (
        "worker",
        "<div id=root></div><script>const w=new Worker(URL.createObjectURL(new Blob(['setTimeout(()=>postMessage(1),20)'])));w.onmessage=()=>{root.innerHTML=text(20);done()}</script>",
    ),
];

/// Applications as they are shipped, from packages whose files lie below `/files/`: name, what is in the body, and what it says
/// when it is complete.
pub const BUILT: &[(&str, &str, &str)] = &[
    (
        "swagger",
        "<div id=ui></div><script src=/files/swagger-ui-dist/swagger-ui-bundle.js></script><script>SwaggerUIBundle({url:'/spec.json',dom_id:'#ui'})</script>",
        "Lists all planets",
    ),
    (
        "redoc",
        "<redoc spec-url=/spec.json></redoc><script src=/files/redoc/bundles/redoc.standalone.js></script>",
        "Lists all planets",
    ),
    (
        "docsify",
        "<div id=app></div><script>window.$docsify={basePath:'/files/docsify/',homepage:'README.md',name:'docs'}</script><script src=/files/docsify/dist/docsify.min.js></script>",
        "documentation site generator",
    ),
];

const SPEC: &str = r#"{"openapi":"3.0.0","info":{"title":"Planets","version":"1"},"paths":{"/planets":{"get":{"summary":"Lists all planets",
    "description":"All planets of the system, one after the other, with their distances and moons.","responses":{"200":{"description":"Planets"}}}}}}"#;

/// Pages to be acted upon, or to be survived.
const OTHERS: &[(&str, &str)] = &[
    (
        "scroll",
        "<div id=list></div><div id=end style='height:1px'></div><script>let n=0,busy=false;new IntersectionObserver(async e=>{if(!e.some(x=>x.isIntersecting)||busy||n>=100)return;busy=true;await (await fetch('/data?ms=40&n='+n)).json();for(let i=0;i<20;i++){const p=document.createElement('p');p.style.height='80px';p.textContent='Item '+(++n);list.append(p)}busy=false;if(n>=100)done()}).observe(end)</script>",
    ),
    ("form", "FORM"),
    (
        "chain",
        "<div id=chain><button id=c1>next</button></div><script>window.steps=1;document.getElementById('chain').addEventListener('click',e=>{const m=/^c(\\d+)$/.exec(e.target.id);if(!m||!e.isTrusted)return;const n=+m[1]+1;if(document.getElementById('c'+n))return;const b=document.createElement('button');b.id='c'+n;b.textContent='next '+n;document.getElementById('chain').append(b);window.steps=n})</script>",
    ),
    (
        "moving",
        "<button id=open onclick=\"more.style.height='300px'\">open</button><div id=more style='height:0;background:#eee'></div><button id=a onclick=\"window.na=(window.na||0)+1\">a</button><br><button id=b onclick=\"window.nb=(window.nb||0)+1\">b</button>",
    ),
    ("covered", "<div id=veil style='position:fixed;inset:0;background:#0008'></div><button id=under>under</button>"),
    (
        "parts",
        "<x-part></x-part><label for=name>Your name</label><input id=name><input id=day type=date><button aria-label=Close>×</button><button disabled id=off>off</button><div hidden id=gone>gone</div><a href='/page/static'>leave</a><select id=one><option value=1>One<option value=2>Two</select><input type=checkbox id=box><input type=file id=file multiple><ul><li>First<li>Second</ul><div id=drop ondragover='event.preventDefault()' ondrop=\"this.textContent='dropped '+event.dataTransfer.getData('text')\" style='width:100px;height:100px;background:#ccc'></div><span id=drag draggable=true ondragstart=\"event.dataTransfer.setData('text','it')\">drag me</span><iframe src=/page/inner width=300 height=100></iframe><script>customElements.define('x-part',class extends HTMLElement{connectedCallback(){this.attachShadow({mode:'open'}).innerHTML='<button id=deep onclick=\"window.deep=true\">Deep inside</button>'}})</script>",
    ),
    ("inner", "<button id=in onclick=\"this.textContent='pressed'\">press</button>"),
    (
        "foreign",
        "<iframe src='http://localhost:PORT/page/zone' width=600 height=100></iframe><iframe src='http://localhost:PORT/echo' width=600 height=400></iframe>",
    ),
    (
        "zone",
        "<script>document.write(Intl.DateTimeFormat().resolvedOptions().timeZone+' '+new Intl.NumberFormat().resolvedOptions().locale)</script>",
    ),
    (
        "veiled",
        "<div id=veil style='position:fixed;inset:0' onmousedown='window.hit=1'></div><button id=under oncontextmenu='window.hit=1'>under</button><textarea id=field></textarea><div id=from draggable=true>from</div><div id=to>to</div>",
    ),
    (
        "hands",
        "<button id=right oncontextmenu='window.menus=(window.menus||0)+event.isTrusted'>right</button><button id=middle onauxclick='window.middles=(window.middles||0)+event.button'>middle</button><textarea id=long></textarea><textarea id=closed readonly></textarea><input id=shy onfocus='this.blur()'><button id=twice ondblclick='window.doubles=(window.doubles||0)+event.isTrusted'>twice</button><button id=fast onclick='window.fast=event.isTrusted'>fast</button><input id=set><button id=ask onclick=\"window.said=prompt('Who?')\">ask</button><button id=go onclick=\"setTimeout(()=>{const b=document.createElement('button');b.id='late';b.textContent='late';document.body.append(b)},600);setTimeout(()=>{word.textContent='ready'},300)\">go</button><span id=word>waiting</span>",
    ),
    (
        "inner-scroll",
        "<style>body{margin:0}header{position:fixed;top:0;left:0;right:0;height:120px;background:#cde}#box{margin-top:150px;height:150px;width:300px;overflow:auto}</style><header id=head>head</header><div id=box><div style='height:900px'>above</div><button id=deep onclick='window.deeps=(window.deeps||0)+event.isTrusted'>deep</button><div style='height:300px'></div></div><div style='height:2700px'></div><button id=low style='display:block' onclick='window.lows=(window.lows||0)+event.isTrusted'>low</button><div style='height:2000px'></div>",
    ),
    (
        "inner-list",
        "<style>html,body{margin:0;height:100%;overflow:hidden}#list{height:100%;overflow:auto}</style><div id=list></div><script>let n=0;function add(){for(let i=0;i<20;i++){const p=document.createElement('p');p.style.height='80px';p.textContent='Item '+(++n);list.append(p)}if(n>=100)done()}add();list.addEventListener('scroll',()=>{if(list.scrollTop+list.clientHeight>list.scrollHeight-50&&n<100)setTimeout(add,40)})</script>",
    ),
    (
        "tall-frames",
        "<div style='height:300px'></div><iframe id=own src=/page/tall style='display:block;width:400px;height:2400px;padding:37px;border:5px solid'></iframe><iframe id=other src='http://localhost:PORT/page/tall' style='display:block;width:400px;height:2400px;padding:21px 43px'></iframe>",
    ),
    (
        "tall",
        "<style>body{margin:0}button{display:block;width:120px;height:20px;padding:0;border:0}</style><button id=first onclick=\"this.textContent='pressed'\">first</button><div style='height:1900px'></div><button id=last onclick=\"this.textContent='pressed'\">last</button><script>window.where='inside';setTimeout(()=>{window.late=true},200)</script>",
    ),
    (
        "far",
        "<style>body{margin:0}</style><div id=from draggable=true ondragstart=\"event.dataTransfer.setData('text','it')\" style='width:100px;height:40px;background:#aaa'>from</div><div style='height:2000px'></div><div id=to ondragover='event.preventDefault()' ondrop=\"this.textContent='dropped '+event.dataTransfer.getData('text')\" style='width:100px;height:100px;background:#ccc'></div>",
    ),
    ("dialogs", "<script>window.said=[confirm('Really?'),prompt('Who?','nobody')];alert('Well.');done()</script>"),
    ("popups", "<script>window.open('/page/static');window.open('/page/fetch');done()</script>"),
    (
        "download",
        "<script>const a=document.createElement('a');a.href='/file';a.download='x.bin';document.body.append(a);a.click();done()</script>",
    ),
    ("hang", "<p>before</p><script>setTimeout(()=>{for(;;);},30)</script>"),
    ("hang-at-once", "<p>before</p><script>for(;;);</script>"),
    ("heap-hog", "<script>setTimeout(()=>{const k=[];for(;;)k.push(new Array(1e5).fill(0).map((_,i)=>({i})))},20)</script>"),
    (
        "buffer-hog",
        "<script>window.k=[];(function go(){const a=new Uint8Array(32<<20);a.fill(1);k.push(a);setTimeout(go,5)})()</script>",
    ),
    ("many-requests", "<script>for(let i=0;i<3000;i++)fetch('/data?i='+i)</script>"),
    ("never", "<div id=root>loading</div><script>fetch('/never')</script>"),
    (
        "blocked",
        "<script>fetch('http://www.google-analytics.com/collect').catch(e=>{document.body.append('blocked');done()})</script>",
    ),
    ("console", "<script>console.log('a',1);console.error('b');setTimeout(()=>{throw new Error('c')},1)</script>"),
    ("service-worker", "<script>navigator.serviceWorker.register('/worker.js').then(()=>0,()=>0).then(()=>done())</script>"),
];

/// A site that is open until it is dropped.
#[derive(Debug)]
pub struct Pages {
    address: SocketAddr,
    door: AbortHandle,
}

impl Pages {
    /// Opens it on a free port.
    ///
    /// # Errors
    /// The system's.
    pub async fn open() -> std::io::Result<Self> {
        Self::with_files(None).await
    }

    /// The same, with the files below `root` under `/files/`.
    ///
    /// # Errors
    /// The system's.
    pub async fn with_files(root: Option<PathBuf>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let door = spawn_named("pages", async move {
            loop {
                // Without a descriptor to spare there is nobody to serve, and there may be one in a moment.
                let Ok((socket, _)) = listener.accept().await else {
                    sleep(Duration::from_millis(5)).await;
                    continue;
                };
                let root = root.clone();
                spawn_named("visitor of pages", async move {
                    // A client that hangs up has seen enough.
                    let _ = visit(socket, address.port(), root.as_deref()).await;
                });
            }
        });
        Ok(Self { address, door: door.abort_handle() })
    }

    /// The address of a page.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/page/{name}", self.address)
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.door.abort();
    }
}

async fn visit(mut socket: TcpStream, port: u16, root: Option<&Path>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > 64 << 10 || socket.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let target = request.split(' ').nth(1).unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let number = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse::<u64>().ok());
    if let Some(millis) = number("ms") {
        sleep(Duration::from_millis(millis.min(60_000))).await;
    }
    let answer = |kind: &str, body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    let text = match path {
        "/data" => answer("application/json", "{\"items\":[1,2,3]}"),
        "/script.js" => answer("text/javascript", "document.body.insertAdjacentHTML('beforeend',text(20));done()"),
        "/module.js" => {
            answer("text/javascript", "export function go(){document.body.insertAdjacentHTML('beforeend',text(20));done()}")
        }
        "/worker.js" => answer("text/javascript", "self.addEventListener('fetch',()=>{})"),
        "/slow.css" => answer("text/css", "body{font:16px sans-serif}"),
        "/file" => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=x.bin\r\n\
                        Content-Length: 4\r\nConnection: close\r\n\r\nabcd";
            head.to_owned()
        }
        "/spec.json" => answer("application/json", SPEC),
        "/echo" => answer("text/plain", &request),
        "/missing" => {
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<p>There is nothing here.".to_owned()
        }
        "/events" => {
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n").await?;
            loop {
                socket.write_all(b"data: tick\n\n").await?;
                sleep(Duration::from_millis(200)).await;
            }
        }
        // Nothing is answered until the client hangs up; a handshake that does not end is a socket all the same.
        "/never" | "/socket" => return socket.read(&mut [0; 16]).await.map(drop),
        "/page/streaming" => return stream(&mut socket).await,
        _ if path.starts_with("/files/") => {
            let name = path.trim_start_matches("/files/");
            let file = root.filter(|_| !name.contains("..")).and_then(|root| std::fs::read_to_string(root.join(name)).ok());
            let kind = if name.ends_with(".css") {
                "text/css"
            } else if name.ends_with(".md") {
                "text/plain"
            } else {
                "text/javascript"
            };
            match file {
                Some(text) => answer(kind, &text),
                None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
            }
        }
        _ => match source(path, port) {
            Some(body) => answer("text/html; charset=utf-8", &body),
            None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
        },
    };
    socket.write_all(text.as_bytes()).await?;
    socket.shutdown().await
}

/// HTML that comes in pieces.
async fn stream(socket: &mut TcpStream) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<!doctype html><title>streaming</title><script>{DONE}</script>{PROSE}"
    );
    socket.write_all(head.as_bytes()).await?;
    for part in 0..4 {
        sleep(Duration::from_millis(70)).await;
        socket.write_all(format!("<p>Part {part} of a page that comes in pieces.</p>").as_bytes()).await?;
    }
    socket.write_all(b"<script>done()</script>").await
}

/// What is sent for a path: `/page/NAME`, or `/bare/NAME` for the same page with nothing in it before its scripts have run.
#[must_use]
pub fn source(path: &str, port: u16) -> Option<String> {
    let (prose, name) =
        path.strip_prefix("/page/").map(|name| (PROSE, name)).or_else(|| Some(("", path.strip_prefix("/bare/")?)))?;
    page(name, port, prose)
}

fn page(name: &str, port: u16, prose: &str) -> Option<String> {
    let built = BUILT.iter().map(|(known, body, _)| (known, body));
    let body =
        *SETTLING.iter().chain(OTHERS).map(|(known, body)| (known, body)).chain(built).find(|(known, _)| **known == name)?.1;
    let body = if body == "FORM" { form() } else { body.replace("PORT", &port.to_string()) };
    // Without scripts of its own, a page has none of ours either.
    let script = if body.contains("<script") { format!("<script>{DONE}</script>") } else { String::new() };
    let prose = if SETTLING.iter().any(|(known, _)| *known == name) { prose } else { "" };
    Some(format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>{name}</title>{script}</head><body>{prose}{body}</body></html>"
    ))
}

/// Twenty rows of fields, and a count of what was really done with them.
fn form() -> String {
    let row = |i: usize| {
        format!(
            "<div style='height:30px'><input id=i{i}><button type=button id=b{i} onclick=\"this.dataset.c=(+this.dataset.c||0)+1;\
             trusted+=event.isTrusted\">B{i}</button><select id=s{i}><option value=a>a<option value=b>b<option value=c>c</select>\
             <span id=w{i}>w</span></div>"
        )
    };
    let rows: String = (1..=20).map(row).collect();
    format!(
        "<script>window.trusted=0;window.typed=0;document.addEventListener('keydown',e=>{{typed+=e.isTrusted}});\
         window.verify=()=>({{clicks:document.querySelectorAll('button[data-c=\"1\"]').length,\
         typed:[...document.querySelectorAll('input')].filter(x=>x.value==='abcdefgh').length,\
         selected:[...document.querySelectorAll('select')].filter(x=>x.value==='c').length,trusted,keys:typed}})</script>{rows}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_enough_pages_with_names_of_their_own() {
        let mut names: Vec<&str> = SETTLING.iter().chain(OTHERS).map(|(name, _)| *name).collect();
        assert!(SETTLING.len() >= 25);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SETTLING.len() + OTHERS.len());
        assert!(source("/page/form", 1).is_some_and(|page| page.contains("id=b20")));
        assert!(source("/page/nothing", 1).is_none());
        assert_eq!(
            ["/page/fetch", "/bare/fetch"].map(|path| source(path, 1).is_some_and(|page| page.contains("Some prose"))),
            [true, false]
        );
    }
}
