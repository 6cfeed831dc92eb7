/* Memory runs out at the n-th allocation, for every n: the vocabulary reports it, leaves nothing behind and
 * works again afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kv_error.h"
#include "model/outbox.h"
#include "model/pack.h"
#include "model/ring_value.h"
#include "unit/oom.h"

static struct member members[3] = {{.id = 1, .name = "a", .weight = 1},
                                   {.id = 2, .name = "b", .weight = 1},
                                   {.id = 3, .name = "c", .weight = 1}};

static const struct ring_value value = {
    .epoch = 1,
    .partitions = 64,
    .replicas = 3,
    .next_id = 4,
    .member_count = 3,
    .members = members,
    .queue_count = 2,
    .queue = {{.kind = RING_LEAVE, .member = 2},
              {.kind = RING_JOIN, .store_id = 9, .weight = 1, .name = "d"}}};

static int encode_decode_copy(struct buf *bytes)
{
    struct ring_value back, copy;
    int status = ring_value_encode(&value, bytes);
    if (status != KV_OK)
        return status;
    status = ring_value_decode(buf_bytes(bytes), &back);
    if (status != KV_OK)
        return status;
    status = ring_value_copy(&back, &copy);
    ring_value_deinit(&back);
    if (status == KV_OK)
        ring_value_deinit(&copy);
    return status;
}

static void ring_values_report_it(void **state)
{
    (void)state;
    int failed = 0;
    for (int n = 0;; n++) {
        struct buf bytes = {0};
        oom_after(n);
        int status = encode_decode_copy(&bytes);
        int hits = oom_end();
        assert_int_equal(status, hits ? KV_E_NO_MEMORY : KV_OK);
        failed += hits > 0;
        bool half = bytes.len != 0 && bytes.len < 44 + 3 * (23 + 5) + 22 + 23;
        assert_false(half);
        buf_deinit(&bytes);
        if (!hits)
            break;
    }
    assert_int_equal(failed, 3);
}

static void rows_report_it(void **state)
{
    (void)state;
    uint8_t bytes[ROW_HEADER_BYTES + 5];
    struct row r = {.kind = ROW_REGISTER, .stamp = {1, 1}, .raw_size = 5}, back;
    row_encode_header(&r, bytes);
    memcpy(bytes + ROW_HEADER_BYTES, "value", 5);
    oom_after(0);
    int status = row_decode(bytes_of(bytes, sizeof bytes), &back);
    assert_int_equal(oom_end(), 1);
    assert_int_equal(status, KV_E_NO_MEMORY);
    assert_true(row_is_absent(&back));
    assert_int_equal(row_decode(bytes_of(bytes, sizeof bytes), &back), KV_OK);
    row_release(&back);
}

static void the_outbox_reports_it_or_cuts_its_logs(void **state)
{
    (void)state;
    struct outbox out;
    oom_after(0);
    int status = outbox_init(&out);
    assert_true(oom_end() > 0);
    assert_int_equal(status, KV_E_NO_MEMORY);
    outbox_deinit(&out);

    assert_int_equal(outbox_init(&out), KV_OK);
    oom_after(0);
    outbox_log(&out, LOG_INFO, "event=%s", "lost");
    oom_end();
    assert_int_equal(out.count, 1);
    assert_non_null(out.effects[0].log.text);
    outbox_deinit(&out);
}

static void no_memory_makes_no_pack(void **state)
{
    (void)state;
    struct page_entry e = {.key = bytes_str("key"), .row = {.kind = ROW_REGISTER, .stamp = {1, 1}}};
    oom_after(0);
    struct blob *pack = pack_rows(&e, 1);
    assert_int_equal(oom_end(), 1);
    assert_null(pack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_values_report_it),
        cmocka_unit_test(rows_report_it),
        cmocka_unit_test(the_outbox_reports_it_or_cuts_its_logs),
        cmocka_unit_test(no_memory_makes_no_pack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
