package kafka

// What each error of a cluster means to a batch that is to be stored: whether it
// passes by itself, whether somebody has to act, or whether only a defect can be
// behind it. docs/errors.md has the same table for users; a test holds the two
// together and walks every error code that the client library knows.

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/sink"
)

// errorClass says who has to do something about an error.
type errorClass uint8

const (
	// passing errors end by themselves: an election, a restart, a load. The
	// batch is answered 503 (sink.ErrUnavailable) and /ready says why meanwhile.
	passing errorClass = iota
	// refusing errors last until somebody changes a right, a setting or the
	// topic. The batch is answered 503 (sink.ErrRefused), because it will be
	// taken once that is done, and /ready names what there is to do.
	refusing
	// defect errors cannot be the answer to what this program sends. They are
	// answered 500, and the code is in the log.
	defect
)

func (c errorClass) String() string { return [...]string{"passes", "refused", "defect"}[c] }

// errorGroup is a row of the table: error codes that have a cause and a remedy in
// common.
type errorGroup struct {
	class  errorClass
	remedy string // shown by /ready and in the log
	errs   []*kerr.Error
}

var errorGroups = []errorGroup{
	{passing, "a partition's leader is changing, away or not yet known to everybody", []*kerr.Error{
		kerr.LeaderNotAvailable, kerr.NotLeaderForPartition, kerr.ReplicaNotAvailable, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch,
		kerr.PreferredLeaderNotAvailable, kerr.EligibleLeadersNotAvailable, kerr.ElectionNotNeeded, kerr.NewLeaderElected, kerr.IneligibleReplica,
		kerr.OffsetNotAvailable, kerr.ListenerNotFound, kerr.ReassignmentInProgress, kerr.NoReassignmentInProgress}},
	{passing, "a broker is starting, stopping, overloaded or unreachable", []*kerr.Error{
		kerr.RequestTimedOut, kerr.BrokerNotAvailable, kerr.NetworkException, kerr.UnknownServerError, kerr.NotController, kerr.StaleControllerEpoch,
		kerr.StaleBrokerEpoch, kerr.BrokerIDNotRegistered, kerr.DuplicateBrokerRegistration, kerr.ControllerIDNotRegistered, kerr.UnknownControllerID,
		kerr.RebootstrapRequired, kerr.InvalidRegistration, kerr.ThrottlingQuotaExceeded}},
	{passing, "too few replicas are in sync: brokers are away (min.insync.replicas)", []*kerr.Error{
		kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend}},
	{passing, "a broker cannot read or write its disk: see that broker's log", []*kerr.Error{
		kerr.KafkaStorageError, kerr.LogDirNotFound, kerr.CorruptMessage, kerr.SnapshotNotFound, kerr.PositionOutOfRange}},
	{passing, "the topic is not there, or was made again a moment ago; bin/server topic makes it", []*kerr.Error{
		kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InconsistentTopicID, kerr.FetchSessionTopicIDError}},
	{passing, "the consumer group is rebalancing, or its coordinator is moving", []*kerr.Error{
		kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.RebalanceInProgress, kerr.IllegalGeneration,
		kerr.UnknownMemberID, kerr.MemberIDRequired, kerr.UnstableOffsetCommit, kerr.StaleMemberEpoch, kerr.FencedMemberEpoch,
		kerr.UnreleasedInstanceID, kerr.NonEmptyGroup, kerr.GroupIDNotFound, kerr.GroupDeletionFailed, kerr.GroupSubscribedToTopic}},
	{passing, "the client library begins its session with the broker anew", []*kerr.Error{
		kerr.OutOfOrderSequenceNumber, kerr.DuplicateSequenceNumber, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.UnknownProducerID,
		kerr.ProducerFenced, kerr.FetchSessionIDNotFound, kerr.InvalidFetchSessionEpoch, kerr.OperationNotAttempted, kerr.ShareSessionNotFound,
		kerr.InvalidShareSessionEpoch, kerr.ShareSessionLimitReached, kerr.UnknownSubscriptionID, kerr.TelemetryTooLarge}},
	{refusing, "this user has no right to the topic: Write and Describe to produce, Read and Describe to consume (also Write to the dead-letter topic)", []*kerr.Error{
		kerr.TopicAuthorizationFailed}},
	{refusing, "this user has no right to the consumer group: Read on kafka.groupID", []*kerr.Error{kerr.GroupAuthorizationFailed}},
	{refusing, "this user lacks a right on the cluster: IdempotentWrite on brokers before 2.8, or Create for a topic that is not there", []*kerr.Error{
		kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.DelegationTokenAuthorizationFailed}},
	{refusing, "the brokers do not accept these credentials: see kafka.sasl and kafka.tls", []*kerr.Error{
		kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState, kerr.SecurityDisabled, kerr.UnacceptableCredential,
		kerr.PrincipalDeserializationFailure, kerr.InvalidPrincipalType, kerr.DelegationTokenAuthDisabled, kerr.DelegationTokenNotFound,
		kerr.DelegationTokenOwnerMismatch, kerr.DelegationTokenRequestNotAllowed, kerr.DelegationTokenExpired}},
	{refusing, "the topic takes only smaller record batches: raise its max.message.bytes and segment.bytes, or lower ingestion.maxRecordBytes", []*kerr.Error{
		kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidFetchSize}},
	{refusing, "the topic's settings or a policy of the cluster refuse these records: compaction, compression or timestamps", []*kerr.Error{
		kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.UnsupportedCompressionType, kerr.UnsupportedForMessageFormat, kerr.PolicyViolation}},
	{refusing, "the topic cannot be made with these settings: see kafka.topic, kafka.partitions, kafka.replication", []*kerr.Error{
		kerr.InvalidTopicException, kerr.TopicAlreadyExists, kerr.InvalidPartitions, kerr.InvalidReplicationFactor, kerr.InvalidReplicaAssignment,
		kerr.InvalidConfig, kerr.TopicDeletionDisabled}},
	{refusing, "the group's offsets do not fit the topic: records were removed before they were consumed (kafka.onGap)", []*kerr.Error{
		kerr.OffsetOutOfRange, kerr.OffsetMovedToTieredStorage}},
	{refusing, "the consumer group cannot be joined with these settings: see kafka.groupID, kafka.sessionTimeout and the brokers' group settings", []*kerr.Error{
		kerr.InvalidGroupID, kerr.InvalidSessionTimeout, kerr.InconsistentGroupProtocol, kerr.GroupMaxSizeReached, kerr.UnsupportedAssignor,
		kerr.FencedInstanceID, kerr.OffsetMetadataTooLarge, kerr.InvalidCommitOffsetSize, kerr.InvalidRegularExpression}},
	{refusing, "the brokers are older than this program needs, or of another cluster", []*kerr.Error{
		kerr.UnsupportedVersion, kerr.InconsistentClusterID, kerr.MismatchedEndpointType, kerr.UnsupportedEndpointType}},
	{defect, "not an answer to what this program asks", []*kerr.Error{
		kerr.InvalidRequest, kerr.InvalidRequiredAcks, kerr.InvalidTxnState, kerr.InvalidTransactionTimeout, kerr.ConcurrentTransactions,
		kerr.TransactionCoordinatorFenced, kerr.TransactionalIDNotFound, kerr.TransactionAbortable, kerr.ResourceNotFound, kerr.DuplicateResource,
		kerr.InconsistentVoterSet, kerr.InvalidVoterKey, kerr.DuplicateVoter, kerr.VoterNotFound, kerr.InvalidUpdateVersion, kerr.FeatureUpdateFailed,
		kerr.InvalidRecordState, kerr.FencedStateEpoch, kerr.StreamsInvalidTopology, kerr.StreamsInvalidTopologyEpoch, kerr.StreamsTopologyFenced,
		kerr.StreamsTopologyDescriptionUpdateFailed}},
}

// groupOfError returns the row of the table that err, or what it wraps, is in.
func groupOfError(err error) (errorGroup, bool) {
	var ke *kerr.Error
	if errors.As(err, &ke) {
		for _, g := range errorGroups {
			for _, e := range g.errs {
				if e.Code == ke.Code {
					return g, true
				}
			}
		}
	}
	return errorGroup{}, false
}

// classified makes of an error of the cluster or of the client library what a
// caller decides on: sink.ErrRefused, sink.ErrClosed, sink.ErrUnavailable, or
// none of these for a defect. It adds the remedy.
func classified(err error) error {
	group, known := groupOfError(err)
	switch {
	case errors.Is(err, kgo.ErrClientClosed):
		return fmt.Errorf("%w: %w: %w", sink.ErrUnavailable, sink.ErrClosed, err)
	case !known, group.class == passing:
		return fmt.Errorf("%w: %w", sink.ErrUnavailable, err)
	case group.class == refusing:
		return fmt.Errorf("%w: %w (%s)", sink.ErrRefused, err, group.remedy)
	}
	return fmt.Errorf("produce: %w", err)
}
