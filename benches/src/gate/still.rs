//! Static pages that look as if they needed rendering, and do not: short ones, those with applications' leftovers, and those
//! that no browser would help with. All are written here.

use super::case::{Case, Kind};

const TRACKED: &str = "<script async src=https://www.googletagmanager.com/gtag/js?id=G-1></script><script>window.dataLayer=window.dataLayer||[];\
    function gtag(){dataLayer.push(arguments)}gtag('js',new Date());gtag('config','G-1')</script>";

/// A paragraph and a half, for pages that have some.
const SOME: &str = "<p>The planet Mercury is the smallest one of the system and the one nearest to the sun. Its year takes eighty-eight days, and between \
    two sunrises lie two of its years. It has no moons and hardly any air.</p><p>Seen from here it never strays far from the sun, which is why few \
    people have knowingly looked at it: shortly before sunrise, or shortly after sunset, low above the horizon, for an hour at most.</p>";

/// Name, what stands in the head, and the body; `SOME` stands for two paragraphs, `MUCH` for twenty.
const PAGES: &[(&str, &str, &str)] = &[
    ("short-plain", "", "<h1>It works!</h1><p>This is the default web page for this server.</p>"),
    (
        "short-tracked",
        "TRACKED",
        "<h1>Opening hours</h1><p>Monday to Friday, nine to five. Saturday by appointment. Closed on Sundays and holidays.</p>",
    ),
    ("short-tracked-one-line", "TRACKED", "<h1>Under construction</h1><p>We will be back soon.</p>"),
    (
        "contact-card",
        "TRACKED",
        "<h1>Jane Example</h1><p>12 High Street, Anytown</p><p>+1 555 0100</p><p><a href=mailto:jane@example.com>jane@example.com</a></p>",
    ),
    (
        "404",
        "TRACKED",
        "<main><h1>404</h1><p>The page you are looking for could not be found.</p><a href=/>Back to the home page</a></main>",
    ),
    (
        "404-jquery",
        "<script src=/js/jquery.min.js></script><script src=/js/main.js></script>",
        "<div id=content><h1>Page not found</h1><p>Sorry, the page that you asked for is not here. It may have been moved, or it never was.</p></div>",
    ),
    ("500", "", "<h1>Internal Server Error</h1><p>The server met an unexpected condition.</p><script src=/error.js></script>"),
    (
        "login",
        "<script src=/assets/application-1a2b.js defer></script>",
        "<main><h1>Sign in</h1><form action=/session method=post><label>Email <input name=email></label><label>Password <input type=password name=password></label><button>Sign in</button></form><p><a href=/reset>Forgot your password?</a> <a href=/join>Create an account</a></p></main>",
    ),
    (
        "login-noscript",
        "<script src=/login.js></script>",
        "<noscript>JavaScript is disabled. Some features may not work.</noscript><form action=/login method=post><h2>Log in to your account</h2><label>User name</label><input><label>Password</label><input type=password><button>Log in</button><p>New here? Register for free, it takes a minute. Trouble signing in? Write to our help desk.</p></form>",
    ),
    (
        "search-form",
        "TRACKED",
        "<h1>Library catalogue</h1><form><input name=q><button>Search</button></form><p>Search over two million books, journals and recordings.</p>",
    ),
    (
        "noscript-pixel",
        "TRACKED",
        "SOME<noscript><img height=1 width=1 style=display:none src=https://www.facebook.com/tr?id=1&ev=PageView&noscript=1></noscript>",
    ),
    ("noscript-styles", "<noscript><style>.js-only{display:none}</style></noscript><script src=/theme.js></script>", "SOME"),
    (
        "noscript-comments",
        "<script src=/theme.js></script>",
        "SOME<div id=disqus_thread></div><script>(function(){var d=document,s=d.createElement('script');s.src='https://x.disqus.com/embed.js';(d.head||d.body).appendChild(s)})()</script><noscript>Please enable JavaScript to view the comments powered by Disqus.</noscript>",
    ),
    (
        "noscript-maps",
        "<script src=/maps.js></script>",
        "<h1>How to find us</h1>SOME<div id=map></div><noscript>Please enable JavaScript to see the map.</noscript>",
    ),
    (
        "gtm-frame",
        "TRACKED",
        "<noscript><iframe src=https://www.googletagmanager.com/ns.html?id=GTM-1 height=0 width=0 style=display:none;visibility:hidden></iframe></noscript>SOME",
    ),
    ("video-frame", "TRACKED", "SOME<iframe src=https://www.youtube.com/embed/x width=560 height=315></iframe>"),
    (
        "react-served",
        "<script defer src=/static/js/main.1.js></script>",
        "<div id=root data-reactroot><header>Example</header><main>MUCH</main></div><script>window.__INITIAL_STATE__={\"a\":1}</script>",
    ),
    (
        "react-served-short",
        "<script defer src=/static/js/main.2.js></script>",
        "<div id=root><main><h1>Mercury</h1>SOME</main></div><script>window.__PRELOADED_STATE__={\"planet\":\"mercury\"}</script>",
    ),
    (
        "next-served",
        "<script src=/_next/static/chunks/main.js defer></script>",
        "<div id=__next><main>MUCH</main></div><script id=__NEXT_DATA__ type=application/json>{\"props\":{\"pageProps\":{\"planet\":\"Mercury\"}},\"page\":\"/planets\"}</script>",
    ),
    (
        "next-app-served",
        "<script src=/_next/static/chunks/main-app.js async></script>",
        "<main>MUCH</main><script>self.__next_f.push([1,'0:[\"$\",\"html\",null,{}]'])</script>",
    ),
    (
        "next-served-short",
        "<script src=/_next/static/chunks/main.js defer></script>",
        "<div id=__next><h1>Mercury</h1>SOME</div><script id=__NEXT_DATA__ type=application/json>{\"props\":{}}</script>",
    ),
    (
        "nuxt-served",
        "<script type=module src=/_nuxt/entry.js></script>",
        "<div id=__nuxt><div id=__layout>MUCH</div></div><script>window.__NUXT__=(function(a){return{serverRendered:true}})(1)</script>",
    ),
    (
        "vue-served",
        "<script src=/js/app.js defer></script>",
        "<div id=app data-server-rendered=true><article>MUCH</article></div>",
    ),
    (
        "angular-served",
        "<script src=/main.js type=module></script>",
        "<app-root ng-version=17.0.0 ng-server-context=ssr><h1>Planets</h1>MUCH</app-root><script id=ng-state type=application/json>{}</script>",
    ),
    (
        "sveltekit-served",
        "<link rel=modulepreload href=/_app/immutable/start.js>",
        "<div style='display: contents'><main>SOME</main><script>{__sveltekit_1={};Promise.all([import('/a.js')]).then(([kit,app])=>{kit.start(app,element)})}</script></div>",
    ),
    (
        "astro-islands",
        "<script type=module src=/_astro/hoisted.js></script>",
        "<main>MUCH<astro-island uid=1 component-url=/_astro/Counter.js client=visible><button>0</button></astro-island></main>",
    ),
    (
        "gatsby-served",
        "<script src=/app-1.js async></script>",
        "<div id=___gatsby><div id=gatsby-focus-wrapper><main>MUCH</main></div></div><div id=gatsby-announcer></div>",
    ),
    (
        "shop-with-basket",
        "<script src=/app.js defer></script>",
        "<header><div id=basket-root></div></header><main><h1>Kettle</h1>SOME<p>Price: 49.00</p></main><cart-drawer></cart-drawer>",
    ),
    ("blog-with-widget-root", "<script src=/widget.js defer></script>", "<article>MUCH</article><div id=root></div>"),
    ("blog-with-app-root", "<script type=module src=/assets/index-1.js></script>", "<article>MUCH</article><div id=app></div>"),
    ("empty-main-aside", "<script src=/site.js></script>", "<main id=main></main><div class=wrapper>MUCH</div>"),
    ("long-scripts", "BULK", "<h1>Notes</h1>SOME"),
    (
        "long-scripts-short-page",
        "BULK",
        "<h1>Notes</h1><p>Only a few words are here, and they are all there is to be read on this page of ours today.</p>",
    ),
    (
        "dropdown-script",
        "",
        "SOME<ul id=menu></ul><script>document.getElementById('menu').innerHTML='<li>Home</li><li>About</li>'</script>",
    ),
    (
        "clock-script",
        "",
        "<h1>Station</h1>SOME<span id=clock></span><script>setInterval(function(){document.getElementById('clock').textContent=new Date()},1000)</script>",
    ),
    (
        "relative-dates",
        "",
        "SOME<script>document.addEventListener('DOMContentLoaded',function(){document.querySelectorAll('time').forEach(function(t){t.innerHTML=t.dateTime})})</script>",
    ),
    (
        "wordpress-emoji",
        "<script>window._wpemojiSettings={\"baseUrl\":\"https://s.w.org\"};!function(i,n){var o,s,e;function c(e){try{var t={supportTests:e}}catch(e){}}function p(e,t){e.clearRect(0,0,1,1)}}(window,document)</script><script src=/wp-includes/js/wp-embed.min.js></script>",
        "<article><h1>Hello world!</h1><p>Welcome to WordPress. This is your first post. Edit or delete it, then start writing!</p></article>",
    ),
    (
        "consent-script",
        "<script src=https://cdn.cookielaw.org/otSDKStub.js></script>",
        "<h1>News in brief</h1>SOME<div id=onetrust-consent-sdk></div>",
    ),
    (
        "preloader-theme",
        "<script src=/theme/main.js></script>",
        "<div class=preloader><div class=spinner></div></div><h1>Studio</h1>SOME",
    ),
    (
        "skeleton-sidebar",
        "<script src=/theme.js></script>",
        "MUCH<aside><div class='skeleton line'></div><div class='skeleton line'></div></aside>",
    ),
    (
        "template-for-rows",
        "<script src=/table.js></script>",
        "MUCH<template id=row><tr><td class=name></td><td class=price></td></tr></template>",
    ),
    (
        "documentation-of-templates",
        "<script src=/prism.js></script>",
        "<h1>Interpolation</h1>MUCH<pre><code>&lt;p&gt;{{ name }} {{ price }}&lt;/p&gt;</code></pre>",
    ),
    (
        "about-javascript",
        "<script src=/prism.js></script>",
        "<h1>How to enable JavaScript</h1><p>To enable JavaScript in your browser, open its settings, look for site permissions, and turn JavaScript on.</p>MUCH",
    ),
    (
        "challenge-cloudflare",
        "<title>Just a moment...</title><script src=/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1></script>",
        "<div class=main-wrapper><h1>example.com</h1><p>Checking if the site connection is secure</p><noscript>Enable JavaScript and cookies to continue</noscript></div><script>window._cf_chl_opt={cvId:'2'}</script>",
    ),
    (
        "challenge-datadome",
        "<script>var dd={'host':'geo.captcha-delivery.com'}</script><script src=https://ct.captcha-delivery.com/c.js></script>",
        "<p id=cmsg>Please enable JS and disable any ad blocker</p>",
    ),
    (
        "challenge-incapsula",
        "",
        "<script src=/_Incapsula_Resource?SWJIYLWA=1></script><iframe src=/_Incapsula_Resource?CWUDNSAI=1>Request unsuccessful. Incapsula incident ID: 1</iframe>",
    ),
    (
        "challenge-captcha",
        "<script src=https://www.google.com/recaptcha/api.js></script>",
        "<h1>Are you a robot?</h1><p>We have seen unusual traffic from your network.</p><div class=g-recaptcha data-sitekey=x></div>",
    ),
    (
        "access-denied",
        "<script src=/akam/13/1></script>",
        "<h1>Access Denied</h1><p>You don't have permission to access this page on this server. Reference #18.1</p>",
    ),
    ("empty", "", ""),
    ("image-only", "", "<img src=/photo.jpg alt='A photo of the sea'>"),
    (
        "directory-index",
        "",
        "<h1>Index of /pub</h1><pre><a href=a.tar.gz>a.tar.gz</a> 12-Jan-2026 10:00 1.2M\n<a href=b.tar.gz>b.tar.gz</a> 13-Jan-2026 11:00 3.4M</pre>",
    ),
    ("quote", "TRACKED", "<blockquote>Simplicity is prerequisite for reliability.</blockquote>"),
    (
        "domain-parked",
        "TRACKED",
        "<h1>example.com is for sale</h1><p>Interested in this domain? Make an offer today and own it tomorrow.</p><form><input name=offer><button>Make an offer</button></form>",
    ),
    (
        "print-script",
        "",
        "<h1>Receipt</h1><p>Total: 12.00</p><p>Thank you for your purchase, and come back soon.</p><script>window.onload=function(){window.print()}</script>",
    ),
    ("frame-buster", "<script>if(top!=self)top.location.href=self.location.href</script>", "<h1>Bank of Anytown</h1>SOME"),
    (
        "japanese-short",
        "TRACKED",
        "<h1>お知らせ</h1><p>本日は臨時休業とさせていただきます。ご不便をおかけいたしますが、何卒よろしくお願い申し上げます。</p>",
    ),
    ("poem", "TRACKED", "<h1>Fog</h1><p>Grey on grey the harbour lies,<br>the gulls are somewhere in the skies.</p>"),
    (
        "shopify-theme",
        "<script src=/cdn/shop/t/1/assets/theme.js defer></script><script>var Shopify=Shopify||{};Shopify.shop='x'</script>",
        "<cart-notification></cart-notification><main id=MainContent><h1>Teapot</h1>SOME<product-form><form><button>Add to cart</button></form></product-form></main><predictive-search></predictive-search>",
    ),
    (
        "ajax-newsletter",
        "<script src=/js/app.js></script>",
        "<h1>Garden club</h1>SOME<form id=news><input><button>Subscribe</button></form><div id=done></div><script>document.getElementById('news').onsubmit=function(){fetch('/subscribe').then(function(){document.getElementById('done').innerHTML='Thank you'})}</script>",
    ),
];

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let bulk =
        format!("<script>{}</script>", "var settings={\"a\":[1,2,3],\"b\":\"some text of no use to anybody\"};".repeat(2_000));
    let page = |head: &str, body: &str| {
        let fill = |text: &str| {
            text.replace("TRACKED", TRACKED).replace("BULK", &bulk).replace("MUCH", &SOME.repeat(5)).replace("SOME", SOME)
        };
        let title = if head.contains("<title>") { "" } else { "<title>Example</title>" };
        format!(
            "<!doctype html><html lang=en><head><meta charset=utf-8>{title}{}</head><body>{}</body></html>",
            fill(head),
            fill(body)
        )
    };
    PAGES.iter().map(|(name, head, body)| Case::new(Kind::Hard, *name, page(head, body))).collect()
}
