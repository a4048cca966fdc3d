/** The page's own style, script and icon: all that its Content-Security-Policy lets run. */

export const css = `:root{color-scheme:light dark;--ink:light-dark(#1b1f24,#e6e8eb);--paper:light-dark(#fff,#14171a);--faint:light-dark(#5a6370,#a3acb8);
--line:light-dark(#d3d8de,#353c44);--bad:light-dark(#b3201b,#ff8b82);--warn:light-dark(#7d5200,#e8b35c);--good:light-dark(#17692f,#77d08f);--link:light-dark(#0b57a4,#85bdf7)}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
header{border-bottom:1px solid var(--line);padding:.5rem 1rem;display:flex;flex-wrap:wrap;gap:.2rem 1rem;align-items:baseline}
header strong{margin-right:1rem}nav{display:flex;flex-wrap:wrap;gap:0 1rem}a{color:var(--link)}nav a{padding:.3rem 0}nav a[aria-current]{color:var(--ink);font-weight:600;text-decoration:none}
main{max-width:75rem;margin:0 auto;padding:0 1rem 3rem}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;min-width:100%;font-size:.9rem}th,td{text-align:left;vertical-align:top;padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--line)}
th{color:var(--faint);font-weight:500}td{overflow-wrap:break-word;min-width:5rem;max-width:30rem}code{overflow-wrap:anywhere}code,pre{font:.85rem/1.5 ui-monospace,monospace}pre{white-space:pre-wrap;overflow-wrap:anywhere}
.none,figcaption,.faint{color:var(--faint)}.bad{color:var(--bad)}.warn{color:var(--warn)}.good{color:var(--good)}
figure{margin:.5rem 0}svg{width:100%;max-width:600px;height:auto;border:1px solid var(--line)}polyline{fill:none;stroke:var(--link);stroke-width:2}.limit{stroke:var(--bad);stroke-dasharray:4}
form{margin:.3rem 0}input,button,select{font:inherit;color:inherit;background:var(--paper);border:1px solid var(--faint);border-radius:3px;padding:.2rem .5rem;max-width:100%}button{cursor:pointer}
label{display:inline-block;margin-right:.6rem;max-width:100%}input[size]{width:auto}label input,label select{min-width:0}meter{width:8rem}:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-99rem}.skip:focus{left:0}`

/** Takes fragments from the server's events. What a person is in the middle of is left alone. */
export const script = `const live = document.getElementById('live')
const state = document.getElementById('state')
if (live && 'EventSource' in window) {
  const events = new EventSource('/events?page=' + encodeURIComponent(live.dataset.page))
  events.addEventListener('open', () => { if (state) state.textContent = 'live' })
  events.addEventListener('error', () => { if (state) state.textContent = 'not connected' })
  events.addEventListener('live', ({ data }) => {
    const busy = live.contains(document.activeElement) && document.activeElement !== live
    if (!busy && !live.contains(getSelection().anchorNode)) live.innerHTML = JSON.parse(data)
  })
}
`

export const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#0b57a4" d="M8 0l7 3v5c0 4-3 7-7 8-4-1-7-4-7-8V3z"/></svg>`
