import Testing

@testable import Supervisor

/// Every guard is needed, and its promise's judge sees when it is gone: without it some world breaks the promise.
///
/// docs/architecture.md has the command.
@Suite(
    .enabled(
        if: Seeds.number("SIMULATION_SEEDS") != nil,
        "takes minutes in a debug build: set SIMULATION_SEEDS, as .ci/run does with a release build"))
struct GuardTests {
    /// Worlds that are tried; most guards are missed in the first few.
    private static let worlds = UInt64(1000)

    @Test("Without its guard a promise is seen to be broken", arguments: Guard.judgedByWorlds)
    func isMissed(removed: Guard) {
        var others: [String] = []
        for seed in 1...Self.worlds {
            var world = VirtualWorld(seed: seed, without: removed)
            guard let violation = world.run() else { continue }
            if removed.promises.contains(violation.promise) {
                return print("without \(removed.rawValue), seed \(seed): \(violation)")
            }
            others.append("seed \(seed): \(violation)")
        }
        Issue.record("nobody misses \(removed.rawValue); \(others.prefix(3))")
    }
}

extension Guard {
    static let judgedByWorlds = Self.allCases.filter { !$0.promises.isEmpty }

    /// What is broken without it. The judge of a count sees some of them before the promise's own.
    fileprivate var promises: Set<Promise> {
        switch self {
        case .answerAtDeadline: [.oneAnswer]
        case .replyOfItsWorker, .callGeneration: [.noCrossTalk]
        case .answerOnDeath, .retryIdempotentOnly, .retryBudget, .retryOnce, .retryElsewhere, .poison:
            [.crashIsolated]
        case .backoffGrowth, .quarantine: [.crashLoopBounded]
        case .abandonedKeepsSlot, .overrun, .slotLimit: [.hungWorkerBounded]
        case .queueBound, .inFlightLimit, .dispatchWhenFree: [.overloadSheds]
        case .pauseSlowClients, .writeStall, .inputWatermark: [.nobodyWedges]
        case .unreadableReply, .answerGarbage: [.garbageKillsNothing]
        case .noiseFlood: [.noiseSurvived]
        case .startTimeout, .killAfterTerm, .memoryLimit: [.noOrphans]
        case .readyFirst, .abortAtFirstFailure, .neverBusy, .growWhenFull: [.nothingIsLost]
        // Tests of their own take these away.
        case .slowFaults, .ejection, .ejectedShare: []
        case .generation, .singleFlight, .flightBound, .takeover, .workerEpoch, .oneModel,
            .embeddingGeneration:
            []
        case .finalChunk, .noChunkAfterFinal, .streamBound, .retryBeforeChunks: [.wholeStreams]
        case .shutdownGrace, .refuseWhileStopping: [.gracefulStop]
        case .cancelSent, .cancelQueued: [.cancelIsReal]
        case .operatorsOnly: [.contract]
        }
    }
}
