import Testing

@testable import Supervisor

@Suite struct ConfigurationEffectTests {
    @Test func namesNothingWhenNothingIsSet() {
        #expect(Configuration().keysWithoutEffect.isEmpty)
    }

    @Test func namesWhatIsSetAndNotActedOn() {
        var configuration = Configuration()
        configuration.recycle.maxRequests = 1000  // this one is acted on
        configuration.logging.keep = 1  // and this one
        configuration.cache.responseCacheSize = 1  // and this one
        configuration.cache.embeddingCacheSize = 1  // and this one
        configuration.timeouts.streamIdle = .seconds(1)
        configuration.timeouts.standard = .seconds(1)
        #expect(configuration.keysWithoutEffect == ["timeouts.stream_idle"])
    }
}
