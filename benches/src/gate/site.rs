//! A site of the labelled set: its pages, the scripts that they name, and a script that fills them for all that have none.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use eventmesh_actors::spawn_named;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{Duration, sleep};

use super::case::Case;

/// What every shell says once it has been filled.
pub(crate) const FILLED: &str = "The light of the moons was brought by a script";

/// Fills the page once, wherever its framework would.
const FILL: &str = "(()=>{if(window.filled)return;window.filled=true;\
    const places='[id^=single-spa],#root,#app,#__next,#__nuxt,#___gatsby,#q-app,#sapper,#elm,#application,#anwendung,#page,#products,#content,#list,#results,main,\
    app-root,ion-app,my-app,my-element,article-view,kit-root,[ng-view],[ui-view],[hx-get],turbo-frame,include-fragment,.app-container,.contenu,.pagina,.list';\
    const go=()=>setTimeout(()=>{const text='TEXT';const at=document.querySelector(places);if(at)at.innerHTML=text;else document.body.insertAdjacentHTML('beforeend',text)},80);\
    document.readyState==='loading'?addEventListener('DOMContentLoaded',go):go()})()";

/// A site that is open until it is dropped.
#[derive(Debug)]
pub(crate) struct Site {
    address: SocketAddr,
    door: AbortHandle,
}

impl Site {
    /// Opens it on a free port, with these pages.
    pub(crate) async fn open(cases: &[Case]) -> std::io::Result<Self> {
        let mut files = HashMap::new();
        for case in cases {
            files.insert(format!("/case/{}", case.name), case.page.clone());
            if let Some((path, script)) = &case.script {
                files.insert(path.clone(), script.clone().into_bytes());
            }
        }
        let files = Arc::new(files);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let door = spawn_named("labelled site", async move {
            loop {
                // Without a descriptor to spare there is nobody to serve, and there may be one in a moment.
                let Ok((socket, _)) = listener.accept().await else {
                    sleep(Duration::from_millis(5)).await;
                    continue;
                };
                let files = Arc::clone(&files);
                spawn_named("visitor of the labelled site", async move {
                    // A client that hangs up has seen enough.
                    let _ = visit(socket, &files).await;
                });
            }
        });
        Ok(Self { address, door: door.abort_handle() })
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.door.abort();
    }
}

async fn visit(mut socket: TcpStream, files: &HashMap<String, Vec<u8>>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > 64 << 10 || socket.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or("/").split('?').next().unwrap_or_default();
    let prose = prose();
    let fill = FILL.replace("TEXT", &prose);
    let (kind, body) = match files.get(path) {
        Some(page) if path.starts_with("/case/") => ("text/html; charset=utf-8", page.as_slice()),
        Some(script) => ("text/javascript; charset=utf-8", script.as_slice()),
        None if path == "/data" => ("application/json", b"{\"items\":[1,2,3]}".as_slice()),
        None if path.ends_with(".js") => ("text/javascript; charset=utf-8", fill.as_bytes()),
        None if path.ends_with(".html") => ("text/html; charset=utf-8", prose.as_bytes()),
        None if path.ends_with(".css") => ("text/css", b"".as_slice()),
        None => {
            return socket.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        }
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body).await?;
    socket.shutdown().await
}

/// Some paragraphs.
fn prose() -> String {
    let paragraph = |number: usize| {
        format!(
            "<p>{FILLED}, paragraph {number} of what was not there before: the planets go round the sun in ellipses, the nearer ones \
             faster than those farther out, and each of them keeps its own time in doing so.</p>"
        )
    };
    format!("<h1>Planets</h1>{}", (1..=8).map(paragraph).collect::<String>())
}
