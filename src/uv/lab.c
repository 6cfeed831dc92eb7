/* Fault orders (MSG_FAULT): carried out by the shell, never seen by the core; refused without --lab. */
#include "kv_error.h"
#include "uv/shell.h"

void lab_order(struct shell *s, struct conn *c, const struct message *m)
{
    struct message reply = {.type = MSG_FAULT_REPLY,
                            .id = m->id,
                            .cluster = node_cluster_hash(s->node),
                            .fault_reply = {.status = KV_E_NOT_PERMITTED}};
    if (s->options.lab) {
        s->faults.self = node_self(s->node);
        reply.fault_reply.status = faults_order(&s->faults, &m->fault);
        reply.fault_reply.count = s->faults.count;
        reply.fault_reply.rules = s->faults.rules;
        storage_slow_disk(s->storage, s->faults.slow_disk_ms);
        if (m->fault.kind != FAULT_LIST)
            shell_log(s, LOG_INFO, "event=fault_order kind=%u from=%u percent=%u amount=%u status=%s",
                      m->fault.kind, m->fault.from, m->fault.percent, m->fault.amount,
                      kv_error_word(reply.fault_reply.status));
    }
    conn_send(c, &reply);
}
