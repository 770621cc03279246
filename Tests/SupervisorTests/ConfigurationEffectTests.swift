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
        configuration.timeouts.streamIdle = .seconds(1)  // and this one
        configuration.timeouts.standard = .seconds(1)
        configuration.controlSocket = Configuration.Socket(path: "/run/control.sock")
        #expect(configuration.keysWithoutEffect == ["control_socket"])
    }
}
