/* Blocking calls: a handle on a loop of its own, run until the answer is there. */
#include <stdlib.h>

#include "client/uv_handle.h"

struct kv_blocking {
    uv_loop_t loop;
    struct client_done *kept; /* what the last result points to */
};

int kv_connect(const struct kv_options *options, struct kv **out)
{
    struct kv_blocking *b = calloc(1, sizeof *b);
    if (!b)
        return KV_E_NO_MEMORY;
    if (uv_loop_init(&b->loop) != 0) {
        free(b);
        return KV_E_NO_MEMORY;
    }
    int rc = kv_open(&b->loop, options, out);
    if (rc) {
        (void)uv_loop_close(&b->loop);
        free(b);
        return rc;
    }
    (*out)->blocking = b;
    return KV_OK;
}

void kv_wait(struct kv *kv)
{
    while (kv->outstanding > 0)
        uv_run(kv->loop, UV_RUN_ONCE);
}

static void forget(struct kv *kv)
{
    if (kv->blocking->kept)
        client_done_release(kv->core, kv->blocking->kept);
    kv->blocking->kept = NULL;
}

void kv_disconnect(struct kv *kv)
{
    struct kv_blocking *b = kv->blocking;
    forget(kv);
    kv_close(kv, NULL, NULL);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&b->loop);
    free(b);
}

/* One call that waits. */
struct call {
    struct kv *kv;
    struct kv_result *out;
    bool over;
};

/* What the core handed out is kept until the next call, not copied. */
static void on_result(const struct kv_result *result, void *arg)
{
    struct call *call = arg;
    struct client_done *d = container_of(result, struct client_done, result);
    *call->out = *result;
    call->kv->keep = call->kv->blocking->kept = d;
    call->over = true;
}

static int wait_for(struct call *call, int rc)
{
    if (rc) {
        *call->out =
            (struct kv_result){.status = rc, .message = kv_error_text(rc), .value = "", .coordinator = ""};
        return rc;
    }
    while (!call->over)
        uv_run(call->kv->loop, UV_RUN_ONCE);
    return call->out->status;
}

int kv_get_wait(struct kv *kv, const void *key, size_t key_len, const struct kv_request *request,
                struct kv_result *result)
{
    struct call call = {kv, result, false};
    forget(kv);
    return wait_for(&call, kv_get(kv, key, key_len, request, on_result, &call));
}

int kv_put_wait(struct kv *kv, const void *key, size_t key_len, const void *value, size_t value_len,
                const struct kv_request *request, struct kv_result *result)
{
    struct call call = {kv, result, false};
    forget(kv);
    return wait_for(&call, kv_put(kv, key, key_len, value, value_len, request, on_result, &call));
}

int kv_del_wait(struct kv *kv, const void *key, size_t key_len, const struct kv_request *request,
                struct kv_result *result)
{
    struct call call = {kv, result, false};
    forget(kv);
    return wait_for(&call, kv_del(kv, key, key_len, request, on_result, &call));
}
