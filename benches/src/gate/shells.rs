//! Shells of applications, as frameworks and bundlers write them: pages whose content comes by a script.
//!
//! All are written here. Each works when it is rendered from [`Site`](super::site::Site), which answers every request for a script
//! with one that fills the page after a moment.

use super::case::{Case, Kind};

/// Name, what stands in the head, and the body with its tags.
const SHELLS: &[(&str, &str, &str)] = &[
    (
        "vite-react",
        "<script type=module crossorigin src=/assets/index-4f9a2c1b.js></script><link rel=stylesheet href=/assets/index-8a1c.css>",
        "<body><div id=root></div></body>",
    ),
    ("vite-vue", "<script type=module crossorigin src=/assets/index-DiwrgTda.js></script>", "<body><div id=app></div></body>"),
    (
        "vite-preact",
        "<link rel=modulepreload href=/assets/vendor-99.js><script type=module src=/assets/index-77.js></script>",
        "<body><div id=app></div></body>",
    ),
    (
        "vite-solid",
        "<script type=module src=/assets/index-x1.js></script>",
        "<body><noscript>You need to enable JavaScript to run this app.</noscript><div id=root></div></body>",
    ),
    ("vite-lit", "<script type=module src=/assets/index-lit.js></script>", "<body><my-element></my-element></body>"),
    ("vite-svelte", "<script type=module src=/assets/index-sv.js></script>", "<body><div id=app></div></body>"),
    (
        "vite-dev",
        "<script type=module>import RefreshRuntime from '/@react-refresh.js'</script>",
        "<body><div id=root></div><script type=module src=/src/main.js></script></body>",
    ),
    (
        "cra",
        "<meta name=description content='Web site created using create-react-app'><script defer src=/static/js/main.3f2a9c1d.js></script>",
        "<body><noscript>You need to enable JavaScript to run this app.</noscript><div id=root></div></body>",
    ),
    (
        "cra-chunks",
        "<link rel=manifest href=/manifest.json>",
        "<body><noscript>You need to enable JavaScript to run this app.</noscript><div id=root></div><script>!function(e){function t(t){for(var n,u,i=t[0],c=t[1],l=t[2],s=0,f=[];s<i.length;s++)u=i[s];return u}var n={},r={1:0},o=[];}([])</script><script src=/static/js/2.1a2b3c4d.chunk.js></script><script src=/static/js/main.5e6f7a8b.chunk.js></script></body>",
    ),
    (
        "cra-analytics",
        "<script async src=/gtm.js></script><script>window.dataLayer=window.dataLayer||[];function gtag(){dataLayer.push(arguments)}gtag('js',new Date())</script><script defer src=/static/js/main.aa.js></script>",
        "<body><noscript><iframe src=https://www.googletagmanager.com/ns.html height=0 width=0></iframe></noscript><div id=root></div></body>",
    ),
    (
        "cra-spinner",
        "<style>.lds-ring{display:inline-block;width:80px}</style><script defer src=/static/js/main.b1.js></script>",
        "<body><div id=root><div class=lds-ring><div></div><div></div></div></div></body>",
    ),
    (
        "next-export",
        "<script src=/_next/static/chunks/polyfills-1.js nomodule></script><script src=/_next/static/chunks/webpack-2.js defer></script><script src=/_next/static/chunks/main-3.js defer></script>",
        "<body><div id=__next></div><script id=__NEXT_DATA__ type=application/json>{\"props\":{\"pageProps\":{}},\"page\":\"/\",\"query\":{},\"buildId\":\"x\",\"nextExport\":true,\"autoExport\":true}</script></body>",
    ),
    (
        "next-fallback",
        "<script src=/_next/static/chunks/main-3.js defer></script>",
        "<body><div id=__next><div class=loading>Loading...</div></div><script id=__NEXT_DATA__ type=application/json>{\"props\":{},\"page\":\"/posts/[id]\",\"query\":{},\"buildId\":\"x\",\"isFallback\":true}</script></body>",
    ),
    (
        "next-app-bailout",
        "<script src=/_next/static/chunks/main-app-9.js async></script>",
        "<body><!--$!--><template data-dgst=BAILOUT_TO_CLIENT_SIDE_RENDERING></template><!--/$--><script>(self.__next_f=self.__next_f||[]).push([0])</script><script>self.__next_f.push([1,'1:HL[\"/_next/static/css/a.css\",\"style\"]'])</script></body>",
    ),
    (
        "nuxt2-spa",
        "",
        "<body><div id=__nuxt><style>#nuxt-loading{background:white;visibility:hidden;opacity:0}</style><div id=nuxt-loading aria-live=polite role=status><div>Loading...</div></div></div><script>window.__NUXT__={config:{_app:{basePath:'/'}},staticAssetsBase:''}</script><script src=/_nuxt/8a7.js></script><script src=/_nuxt/runtime.js></script></body>",
    ),
    (
        "nuxt3-spa",
        "<link rel=modulepreload as=script crossorigin href=/_nuxt/entry.abc.js>",
        "<body><div id=__nuxt></div><script type=application/json id=__NUXT_DATA__ data-ssr=false>[{\"serverRendered\":1},false]</script><script>window.__NUXT__={};window.__NUXT__.config={public:{},app:{baseURL:'/'}}</script><script type=module src=/_nuxt/entry.abc.js crossorigin></script></body>",
    ),
    (
        "angular",
        "<base href=/><link rel=stylesheet href=styles.ef46.css>",
        "<body><app-root></app-root><script src=/runtime.js type=module></script><script src=/polyfills.js type=module></script><script src=/main.js type=module></script></body>",
    ),
    (
        "angular-loading",
        "<base href=/>",
        "<body><app-root><div class=app-loading><div class=logo></div>Loading...</div></app-root><script src=/runtime-es2015.js type=module></script><script src=/main-es2015.js type=module></script><noscript>Please enable JavaScript to continue using this application.</noscript></body>",
    ),
    (
        "angularjs",
        "<script src=/bower/angular.min.js></script><script src=/app/app.js></script>",
        "<body ng-app=shop><div ng-controller=MainCtrl><h1>{{title}}</h1><ul><li ng-repeat='item in items'>{{item.name}} {{item.price}}</li></ul></div></body>",
    ),
    (
        "angularjs-view",
        "<script src=/js/angular.js></script>",
        "<body><div ng-app=portal><div ng-view></div></div><script src=/js/app.js></script></body>",
    ),
    ("angularjs-ui-router", "<script src=/lib/angular-ui-router.js></script>", "<body ng-app=x><div ui-view></div></body>"),
    (
        "sveltekit",
        "<link rel=modulepreload href=/_app/immutable/entry/start.1.js>",
        "<body data-sveltekit-preload-data=hover><div style='display: contents'><script>{__sveltekit_1abc={base:''};const element=document.currentScript.parentElement;Promise.all([import('/_app/immutable/entry/start.1.js'),import('/_app/immutable/entry/app.2.js')]).then(([kit,app])=>{kit.start(app,element)})</script></div></body>",
    ),
    (
        "sapper",
        "",
        "<body><div id=sapper></div><script>__SAPPER__={baseUrl:'',preloaded:[]}</script><script src=/client/main.1.js></script></body>",
    ),
    (
        "vue-cli",
        "<script defer src=/js/chunk-vendors.8e1.js></script><script defer src=/js/app.9b2.js></script>",
        "<body><noscript><strong>We're sorry but shop doesn't work properly without JavaScript enabled. Please enable it to continue.</strong></noscript><div id=app></div></body>",
    ),
    (
        "vue2-inline",
        "<script src=/vue.js></script>",
        "<body><div id=app v-cloak><h1>{{ heading }}</h1><p v-for='p in paragraphs'>{{ p }}</p></div><script src=/js/page.js></script></body>",
    ),
    (
        "quasar",
        "<base href=/><script defer src=/js/vendor.1.js></script><script defer src=/js/app.2.js></script>",
        "<body><noscript>This is your fallback content in case JavaScript fails to load.</noscript><div id=q-app></div></body>",
    ),
    (
        "ember",
        "<meta name='shop/config/environment' content='%7B%22modulePrefix%22%3A%22shop%22%7D'><link rel=stylesheet href=/assets/vendor.css>",
        "<body><script src=/assets/vendor-d41d.js></script><script src=/assets/shop-9a0c.js></script></body>",
    ),
    (
        "gatsby",
        "<script src=/webpack-runtime-1.js async></script><script src=/app-2.js async></script>",
        "<body><noscript id=gatsby-noscript>This app works best with JavaScript enabled.</noscript><div id=___gatsby><div style='outline:none' tabindex=-1 id=gatsby-focus-wrapper></div></div><script>window.pagePath='/app/'</script></body>",
    ),
    (
        "htmx-load",
        "<script src=/htmx.min.js></script>",
        "<body><header>News</header><div hx-get=/partial.html hx-trigger=load hx-swap=outerHTML>Loading…</div></body>",
    ),
    (
        "htmx-revealed",
        "<script src=/js/htmx.js></script>",
        "<body><nav><a href=/>Home</a><a href=/about>About</a></nav><main><section hx-get=/partial.html hx-trigger='revealed once'></section></main></body>",
    ),
    (
        "turbo-frame",
        "<script type=module src=/assets/application.js></script>",
        "<body><h1>Inbox</h1><turbo-frame id=messages src=/partial.html></turbo-frame></body>",
    ),
    (
        "include-fragment",
        "<script type=module src=/fragments.js></script>",
        "<body><include-fragment src=/partial.html><p>Loading…</p></include-fragment></body>",
    ),
    (
        "web-components",
        "<script type=module src=/components/index.js></script>",
        "<body><site-header></site-header><article-view slug=planets></article-view><site-footer></site-footer></body>",
    ),
    (
        "polymer",
        "<script src=/bower_components/webcomponentsjs/webcomponents-loader.js></script>",
        "<body unresolved><my-app></my-app><script src=/src/my-app.js></script><noscript>Please enable JavaScript to view this website.</noscript></body>",
    ),
    ("ionic", "<script type=module src=/build/app.esm.js></script>", "<body><ion-app></ion-app></body>"),
    ("stencil", "<script type=module src=/build/kit.esm.js></script>", "<body><kit-root></kit-root></body>"),
    (
        "iframe-app",
        "",
        "<body style='margin:0'><iframe src=/partial.html width=100% height=900></iframe><script src=/resize.js></script></body>",
    ),
    ("frameset", "", "<frameset cols='20%,80%'><frame src=/partial.html><frame src=/partial.html></frameset>"),
    ("redirect-script", "<script>window.location.replace('/partial.html')</script>", "<body></body>"),
    ("redirect-meta", "<meta http-equiv=refresh content='0; url=/partial.html'>", "<body>Redirecting…</body>"),
    (
        "redirect-href",
        "",
        "<body><p>You are being redirected.</p><script>setTimeout(function(){window.location.href='/partial.html'},50)</script></body>",
    ),
    (
        "backbone",
        "<script src=/js/libs/require.js data-main=/js/main></script>",
        "<body><div id=application></div><script type=text/template id=row-template><tr><td><%= name %></td></tr></script><script src=/js/main.js></script></body>",
    ),
    (
        "knockout",
        "<script src=/js/knockout.js></script>",
        "<body><div data-bind='foreach: articles'><h2 data-bind='text: title'></h2><div data-bind='html: body'></div></div><script src=/js/bundle.js></script></body>",
    ),
    (
        "handlebars",
        "<script src=/js/handlebars.js></script>",
        "<body><div id=content></div><script id=entry type=text/x-handlebars-template><h1>{{title}}</h1><div>{{body}}</div></script><script src=/js/page.js></script></body>",
    ),
    (
        "jquery-load",
        "<script src=/js/jquery.min.js></script>",
        "<body><div id=wrapper><div id=content></div></div><script>setTimeout(()=>{},0);$(function(){$('#content').load('/partial.html')})</script><script src=/js/site.js></script></body>",
    ),
    (
        "jquery-getjson",
        "<script src=/jquery.js></script>",
        "<body><div class=list></div><script src=/js/list.js></script><script>window.$&&$.getJSON('/data',function(d){$('.list').html(d.map(x=>'<p>'+x+'</p>').join(''))})</script></body>",
    ),
    (
        "meteor",
        "<script>__meteor_runtime_config__=JSON.parse(decodeURIComponent('%7B%7D'))</script><script src=/0f9.js?meteor_js_resource=true></script>",
        "<body></body>",
    ),
    (
        "gwt",
        "<script src=/shop/shop.nocache.js></script>",
        "<body><iframe src=javascript:'' id=__gwt_historyFrame style='position:absolute;width:0;height:0;border:0'></iframe><noscript>Your web browser must have JavaScript enabled in order for this application to display correctly.</noscript></body>",
    ),
    (
        "flutter",
        "<base href=/><script src=/flutter.js defer></script>",
        "<body><script>window.addEventListener('load',function(){})</script><script src=/main.dart.js></script></body>",
    ),
    (
        "blazor",
        "<base href=/>",
        "<body><div id=app><svg class=loading-progress><circle r=40% cx=50% cy=50%></circle></svg><div class=loading-progress-text></div></div><div id=blazor-error-ui>An unhandled error has occurred. <a href=/>Reload</a></div><script src=/_framework/blazor.webassembly.js></script></body>",
    ),
    (
        "elm",
        "<script src=/elm.min.js></script>",
        "<body><div id=elm></div><script>var app=window.Elm&&Elm.Main.init({node:document.getElementById('elm')})</script></body>",
    ),
    ("mithril", "", "<body><div id=app></div><script src=/bin/app.js></script></body>"),
    (
        "remix-spa",
        "<link rel=modulepreload href=/assets/entry.client-1.js>",
        "<body><script>window.__remixContext={url:'/',isSpaMode:true,state:{loaderData:{root:null}}}</script><script type=module async>import '/assets/manifest-1.js';import '/assets/entry.client-1.js'</script></body>",
    ),
    ("parcel", "<script type=module src=/app.c2f1.js></script>", "<body><div id=app></div></body>"),
    ("webpack-body", "", "<body><script src=/bundle.js></script></body>"),
    (
        "webpack-two",
        "<title></title>",
        "<body><div class=app-container></div><script src=/dist/vendors~main.js></script><script src=/dist/main.js></script></body>",
    ),
    ("esbuild", "<script type=module src=/dist/index.js></script>", "<body><main></main></body>"),
    ("rollup-iife", "<script defer src=/build/bundle.js></script>", "<body></body>"),
    (
        "importmap",
        "<script type=importmap>{\"imports\":{\"app\":\"/lib/app.js\"}}</script>",
        "<body><div id=root></div><script type=module src=/lib/app.js></script></body>",
    ),
    (
        "single-spa",
        "<meta name=importmap-type content=systemjs-importmap><script src=/system.min.js></script>",
        "<body><div id='single-spa-application:@org/navbar'></div><div id='single-spa-application:@org/home'></div><script src=/root-config.js></script></body>",
    ),
    (
        "module-federation",
        "<script defer src=/remoteEntry.js></script>",
        "<body><div id=root></div><script defer src=/main.1.js></script></body>",
    ),
    (
        "dojo",
        "<script>var dojoConfig={async:1}</script>",
        "<body class=claro><div id=appLayout class=demoLayout></div><script src=/dojo/dojo.js></script></body>",
    ),
    ("extjs", "<script id=microloader src=/bootstrap.js></script>", "<body></body>"),
    (
        "skeleton",
        "<style>.skeleton{animation:pulse 1s infinite}</style><script type=module src=/assets/index-sk.js></script>",
        "<body><div id=root><header class=skeleton></header><main><div class='skeleton line'></div><div class='skeleton line'></div><div class='skeleton line'></div></main></div></body>",
    ),
    (
        "shell-with-navigation",
        "<script defer src=/assets/index-nav.js></script>",
        "<body><header><nav><a href=/>Home</a> <a href=/pricing>Pricing</a> <a href=/docs>Documentation</a> <a href=/blog>Blog</a> <a href=/about>About us</a> <a href=/jobs>Careers</a></nav></header><main id=main></main><footer><p>© 2026 Example Incorporated. All rights reserved.</p><a href=/terms>Terms of service</a> <a href=/privacy>Privacy policy</a></footer></body>",
    ),
    (
        "shell-with-busy-region",
        "<script defer src=/app.js></script>",
        "<body><header>Example Shop</header><div id=products aria-busy=true><div class=spinner></div></div><footer>Imprint · Terms · Privacy · Contact</footer></body>",
    ),
    (
        "shell-with-cookie-notice",
        "<script defer src=/static/js/main.ck.js></script>",
        "<body><div id=root></div><div class=cookie><p>We use cookies to make this site work for you. By going on you accept that we and our partners store and read information on your device, as described in our privacy policy, and that you can take this back at any time.</p><button>Accept all</button><button>Reject all</button></div></body>",
    ),
    (
        "german-notice",
        "<script defer src=/js/app.de.js></script>",
        "<body><noscript>Bitte aktivieren Sie JavaScript in Ihrem Browser, um diese Seite anzuzeigen.</noscript><div id=anwendung>Wird geladen …</div></body>",
    ),
    (
        "french-notice",
        "<script defer src=/js/app.fr.js></script>",
        "<body><noscript>Veuillez activer JavaScript pour utiliser ce site.</noscript><div class=contenu>Chargement en cours…</div></body>",
    ),
    (
        "spanish-notice",
        "<script defer src=/js/principal.js></script>",
        "<body><noscript>Esta página necesita JavaScript. Por favor, habilite JavaScript.</noscript><div class=pagina></div></body>",
    ),
    (
        "japanese-notice",
        "<script defer src=/js/main.ja.js></script>",
        "<body><noscript>このサイトを表示するにはJavaScriptを有効にしてください。</noscript><div id=app>読み込み中…</div></body>",
    ),
    (
        "chinese-notice",
        "<script defer src=/umi.js></script>",
        "<body><noscript>您需要启用 JavaScript 才能运行此应用。</noscript><div id=root></div></body>",
    ),
    (
        "russian-notice",
        "<script defer src=/bundle.ru.js></script>",
        "<body><noscript>Для работы сайта включите JavaScript.</noscript><div id=page>Загрузка…</div></body>",
    ),
    (
        "no-notice-inline",
        "",
        "<body><div id=list></div><script>fetch('/data?ms=60').then(r=>r.json()).then(d=>{document.getElementById('list').insertAdjacentHTML('beforeend',d.items.join(', '))})</script><script src=/prose.js></script></body>",
    ),
    (
        "inline-react",
        "<script src=/umd/react.production.min.js></script><script src=/umd/react-dom.production.min.js></script>",
        "<body><div id=app></div><script type=text/babel>const root=ReactDOM.createRoot(document.getElementById('app'));root.render(<App/>)</script><script src=/app.jsx.js></script></body>",
    ),
    (
        "alpine",
        "<script defer src=/alpine.js></script>",
        "<body x-data=\"{posts:[]}\" x-init=\"fetch('/data')\"><template x-for='post in posts'><article><h2 x-text=post.title></h2></article></template></body>",
    ),
    (
        "lazy-list",
        "",
        "<body><h1>Results</h1><ul id=results></ul><div class=loader></div><script>new IntersectionObserver(e=>fetch('/data').then(r=>r.json()).then(d=>{results.innerHTML+='<li>'+d.items.join('</li><li>')})).observe(results)</script><script src=/lazy.js></script></body>",
    ),
    (
        "document-write",
        "<script src=/menu.js></script>",
        "<body><script>document.write('<div id=page></div>')</script><script src=/page.js></script></body>",
    ),
];

/// Every shell, twice: as short as a builder leaves it, and with what marketing puts on top of it.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, head, body) in SHELLS {
        for (dressed, extra) in [("plain", ""), ("dressed", DRESS)] {
            let title = if head.contains("<title>") { "" } else { "<title>Example</title>" };
            let page = format!(
                "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>{title}{extra}{head}</head>{body}</html>"
            );
            cases.push(Case::new(Kind::Shell, format!("{dressed}/{name}"), page));
        }
    }
    cases
}

/// What stands in the heads of pages that are sold by.
const DRESS: &str = "<meta property=og:title content='Example, the planets at a glance'><meta property=og:description content='All planets of the system, \
    one after the other, with their distances, their moons and what is known of their weather.'><meta name=description content='All planets of the system.'>\
    <link rel=canonical href=https://example.com/planets><link rel=icon href=/favicon.ico><script type=application/ld+json>{\"@context\":\"https://schema.org\",\
    \"@type\":\"WebSite\",\"name\":\"Example\",\"url\":\"https://example.com/\"}</script><style>body{font:16px/1.5 system-ui;margin:0}a{color:#06c}\
    .grid{display:grid;grid-template-columns:repeat(12,1fr);gap:16px}</style><script>(function(w,d,s,l,i){w[l]=w[l]||[];w[l].push({'gtm.start':new Date().getTime(),\
    event:'gtm.js'});var f=d.getElementsByTagName(s)[0],j=d.createElement(s);j.async=true;j.src='/gtm.js?id='+i;f.parentNode.insertBefore(j,f)})(window,document,'script','dataLayer','GTM-X')</script>";
