/* watch_test.c - claims about watches: pace, leases, final states. */
#include "broker/watch.h"

#include "tests/support/test.h"

#include <stdio.h>
#include <string.h>

static struct sock_peer peer_of(uint32_t number)
{
    struct sock_peer peer = {.id_bytes = 4, .role = SOCK_ROLE_CLIENT};
    memcpy(peer.id, &number, 4);
    return peer;
}

static struct watcher *add(struct watches *w, uint32_t peer, const char *job, int64_t now_ms)
{
    bool fresh;
    const struct sock_peer id = peer_of(peer);
    return watch_add(w, &id, job, now_ms, &fresh);
}

TEST(watch, the_same_watch_again_is_prolonged)
{
    UNUSED_STATE;
    struct watches w;
    watches_init(&w);
    bool fresh;
    const struct sock_peer peer = peer_of(1);
    struct watcher *a = watch_add(&w, &peer, "job", 100, &fresh);
    EXPECT(fresh);
    EXPECT(watch_add(&w, &peer, "job", 5000, &fresh) == a);
    EXPECT(!fresh);
    EXPECT_EQ(a->until_ms, 5000 + POLL_TTL_MS);
    EXPECT_EQ(w.watchers_count, 1);
    watches_deinit(&w);
}

TEST(watch, watchers_of_one_job_share_a_topic)
{
    UNUSED_STATE;
    struct watches w;
    watches_init(&w);
    struct watcher *a = add(&w, 1, "job", 0), *b = add(&w, 2, "job", 0),
                   *c = add(&w, 1, "other", 0);
    EXPECT_EQ(a->topic, b->topic);
    EXPECT(a->topic != c->topic);
    EXPECT_EQ(w.topics_count, 2);
    watch_remove(&w, a);
    EXPECT_EQ(w.topics_count, 2);
    watch_remove(&w, b);
    EXPECT_EQ(w.topics_count, 1);
    watches_deinit(&w);
}

TEST(watch, ends_with_its_lease)
{
    UNUSED_STATE;
    struct watches w;
    watches_init(&w);
    add(&w, 1, "job", 0);
    add(&w, 2, "job", 10);
    uint32_t at = 0;
    EXPECT(watch_expired(&w, &at, POLL_TTL_MS - 1) == NULL);
    at = 0;
    struct watcher *gone = watch_expired(&w, &at, POLL_TTL_MS);
    EXPECT(gone != NULL);
    EXPECT_EQ(gone->peer.id[0], 1);
    EXPECT(watch_expired(&w, &at, POLL_TTL_MS) == NULL);
    EXPECT_EQ(w.watchers_count, 1);
    watches_deinit(&w);
}

TEST(watch, a_full_table_refuses_and_a_freed_place_is_used_again)
{
    UNUSED_STATE;
    struct watches w;
    watches_init(&w);
    char job[16];
    for (uint32_t i = 0; i < WATCHES_MAX; i++) {
        (void)snprintf(job, sizeof job, "job%u", i);
        EXPECT(add(&w, i, job, 0) != NULL);
    }
    EXPECT(add(&w, 9999, "more", 0) == NULL);
    watch_remove(&w, &w.watcher[7]);
    EXPECT(add(&w, 9999, "more", 0) == &w.watcher[7]);
    watches_deinit(&w);
}

TEST(watch, watchers_of_all_jobs_have_a_limit_of_their_own)
{
    UNUSED_STATE;
    struct watches w;
    watches_init(&w);
    for (uint32_t i = 0; i < WATCHES_ALL_MAX; i++) EXPECT(add(&w, i, "", 0) != NULL);
    EXPECT(add(&w, 9999, "", 0) == NULL);
    EXPECT(add(&w, 9999, "job", 0) != NULL);
    EXPECT_EQ(w.topics_count, 1);
    watches_deinit(&w);
}

TEST(watch, a_topic_is_read_when_its_version_changed_but_not_too_often)
{
    UNUSED_STATE;
    const struct topic topic = {
        .used = true, .version_read = 5, .read_at_ms = 1000, .next_read_at_ms = 1100};
    EXPECT(!watch_wants(&topic, 6, 1099));
    EXPECT(watch_wants(&topic, 6, 1100));
    EXPECT(!watch_wants(&topic, 5, 1100));
}

TEST(watch, a_topic_is_refreshed_without_news)
{
    UNUSED_STATE;
    const struct topic topic = {
        .used = true, .version_read = 5, .read_at_ms = 1000, .next_read_at_ms = 1100};
    EXPECT(!watch_wants(&topic, 0, 999 + WATCH_REFRESH_MS));
    EXPECT(watch_wants(&topic, 0, 1000 + WATCH_REFRESH_MS));
    EXPECT(watch_wants(&topic, 5, 1000 + WATCH_REFRESH_MS));
}

TEST(watch, an_update_goes_out_when_it_differs_and_the_spacing_is_over)
{
    UNUSED_STATE;
    struct watcher w = {.used = true};
    EXPECT(watch_due(&w, 7, 0));
    EXPECT(!watch_sent(&w, 7, true, false, 0));
    EXPECT(!watch_due(&w, 7, 5000));
    EXPECT(!watch_due(&w, 8, WATCH_SPACING_MS - 1));
    EXPECT(watch_due(&w, 8, WATCH_SPACING_MS));
}

TEST(watch, a_final_state_is_offered_until_it_is_sent)
{
    UNUSED_STATE;
    struct watcher w = {.used = true};
    EXPECT(!watch_sent(&w, 9, false, true, 0));
    EXPECT(watch_due(&w, 9, WATCH_SPACING_MS));
    EXPECT(watch_sent(&w, 9, true, true, WATCH_SPACING_MS));
}

TEST(watch, missed_final_states_are_kept_once_each_up_to_a_limit)
{
    UNUSED_STATE;
    struct watches w;
    watches_init(&w);
    struct watcher *all = add(&w, 1, "", 0);
    EXPECT(watch_miss(all, "a"));
    EXPECT(watch_miss(all, "a"));
    EXPECT_EQ(all->missed_count, 1);
    char job[16];
    for (uint32_t i = 1; i < WATCH_MISSED_MAX; i++) {
        (void)snprintf(job, sizeof job, "job%u", i);
        EXPECT(watch_miss(all, job));
    }
    EXPECT(!watch_miss(all, "too-many"));
    watches_deinit(&w);
}

TEST(watch, the_fingerprint_sees_what_a_person_sees)
{
    UNUSED_STATE;
    Vlmq__Job job;
    Vlmq__Progress progress;
    vlmq__job__init(&job);
    vlmq__progress__init(&progress);
    const uint64_t empty = watch_fingerprint(&job);
    job.now_ms = 12345; /* time alone is no news */
    EXPECT(watch_fingerprint(&job) == empty);
    job.progress = &progress;
    EXPECT(watch_fingerprint(&job) == empty);
    progress.items = 1;
    const uint64_t moved = watch_fingerprint(&job);
    EXPECT(moved != empty);
    job.paused = 1;
    EXPECT(watch_fingerprint(&job) != moved);
}

TEST(watch, the_next_moment_is_the_first_refresh)
{
    UNUSED_STATE;
    struct watches w;
    watches_init(&w);
    EXPECT_EQ(watch_next(&w, 0), INT64_MAX);
    struct watcher *a = add(&w, 1, "job", 0);
    w.topic[a->topic].read_at_ms = 2000;
    EXPECT_EQ(watch_next(&w, 2000), 2000 + WATCH_REFRESH_MS);
    watches_deinit(&w);
}

TEST(watch, the_end_of_a_job_is_told_at_once)
{
    UNUSED_STATE;
    struct watches w;
    watches_init(&w);
    struct watcher *a = add(&w, 1, "ended", 0), *b = add(&w, 1, "other", 0);
    struct topic *ended = &w.topic[a->topic], *other = &w.topic[b->topic];
    ended->read_at_ms = other->read_at_ms = 1000;
    ended->next_read_at_ms = other->next_read_at_ms = 1100;
    EXPECT(!watch_sent(a, 1, true, false, 1000));
    EXPECT(!watch_sent(b, 1, true, false, 1000));
    watch_ended(&w, "ended");
    EXPECT(watch_next(&w, 1000) <= 1000);
    EXPECT(watch_wants(ended, 0, 1000));
    EXPECT(watch_due(a, 3, 1000));
    EXPECT(!watch_wants(other, 0, 1000));
    EXPECT(!watch_due(b, 3, 1000));
    watches_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(watch, the_same_watch_again_is_prolonged),
        RUN(watch, watchers_of_one_job_share_a_topic),
        RUN(watch, ends_with_its_lease),
        RUN(watch, a_full_table_refuses_and_a_freed_place_is_used_again),
        RUN(watch, watchers_of_all_jobs_have_a_limit_of_their_own),
        RUN(watch, a_topic_is_read_when_its_version_changed_but_not_too_often),
        RUN(watch, a_topic_is_refreshed_without_news),
        RUN(watch, an_update_goes_out_when_it_differs_and_the_spacing_is_over),
        RUN(watch, a_final_state_is_offered_until_it_is_sent),
        RUN(watch, missed_final_states_are_kept_once_each_up_to_a_limit),
        RUN(watch, the_fingerprint_sees_what_a_person_sees),
        RUN(watch, the_next_moment_is_the_first_refresh),
        RUN(watch, the_end_of_a_job_is_told_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
