// Pages of a disk may start no Worker, in which Material for MkDocs searches. There, the search runs in a hidden frame.
if (location.protocol === "file:") {
    window.IFrameWorker = window.Worker = class extends EventTarget {
        constructor(address) {
            super();
            const frame = document.createElement("iframe");
            frame.hidden = true;
            document.body.append(frame);
            this.inside = frame.contentWindow;
            this.ready = new Promise((resolve) => {
                const script = frame.contentDocument.createElement("script");
                script.onload = resolve;
                script.src = address;
                this.inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
                frame.contentDocument.head.append(script);
            });
        }

        postMessage(data) {
            this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })));
        }
    };
}
