import Testing

@testable import Supervisor

@Suite struct ConfigurationEffectTests {
    @Test func namesNothingWhenNothingIsSet() {
        #expect(Configuration().keysWithoutEffect.isEmpty)
    }

    @Test func namesWhatIsSetAndNotActedOn() {
        var configuration = Configuration()
        configuration.pools[0].maxMemory = 1 << 30
        configuration.pools[0].maxWorkers = 8
        configuration.recycle.maxRequests = 1000
        configuration.timeouts.streamIdle = .seconds(1)
        configuration.timeouts.standard = .seconds(1)  // this one is acted on
        #expect(
            configuration.keysWithoutEffect == [
                "recycle", "timeouts.stream_idle", "pools[0].max_memory", "pools[0].max_workers",
            ])
    }
}
