//! The same cases against the embedded broker and against mosquitto, with an independent client
//! (rumqttc) in MQTT 3.1.1 and 5; and what only the embedded broker promises.

mod cases;
mod client;
mod embedded;
mod peer;
mod raw;

/// Runs each case against both brokers; without mosquitto on the machine its half says so and is skipped.
macro_rules! against_both_brokers {
    ($($case:ident),* $(,)?) => {
        mod on_the_embedded_broker {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::cases::$case(crate::peer::embedded).await;
            })*
        }

        mod on_mosquitto {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if crate::peer::mosquitto_is_here() {
                    crate::cases::$case(crate::peer::mosquitto).await;
                }
            })*
        }
    };
}

against_both_brokers!(
    every_quality_of_service_crosses_between_versions,
    a_retained_message_greets_later_subscribers_and_an_empty_one_clears_it,
    the_last_will_is_published_when_the_connection_breaks,
    a_clean_goodbye_publishes_no_last_will,
    wildcards_select_topics_as_the_standard_says,
    a_session_keeps_its_messages_while_the_client_is_away,
    a_shared_subscription_delivers_each_message_once,
    a_second_connection_with_the_same_id_replaces_the_first,
    one_message_reaches_five_hundred_subscribers,
    a_message_near_the_packet_limit_passes_and_an_oversized_one_ends_only_its_sender,
    garbage_ends_only_the_connection_that_sent_it,
    a_wrong_password_or_none_is_refused,
    rules_decide_who_writes_and_reads_which_topic,
    a_last_will_needs_the_right_to_write_its_topic,
    tls_clients_and_plain_clients_share_one_broker,
);
