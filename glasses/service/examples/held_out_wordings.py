"""Wordings that nothing was trained on: eight sounds, the buzz, and everything else. Data only.

Written before the wordings that deep rows are trained on, and before any result. Measured first with a threshold
chosen without them, then without that threshold: what it cost was seen here too, and on `sound_wordings`' `*_FRESH` and
`*_LAST`. The same hand wrote training and test, so a wearer's own words will be called less often than these.
"""

from __future__ import annotations

ASKED = (
    "Would you kindly {verb} like a {noun}?", "I fancy hearing a {noun} right now.",
    "Could we get a {noun} sound here?",
    "What would a {noun} sound like? Do it.", "Let me listen to a {noun} for a second.", "Just {verb} already!",
    "Hit me with a {noun} noise.", "Time to {verb}, my friend.", "Emit the sound of a {noun}.",
    "Come on, give me a good {verb}.", "Reproduce the noise that a {noun} makes.", "Can you put on a {noun} sound?",
    "My son would love it if you could {verb} like a {noun}.", "Blast a {noun} sound at full volume.",
    "For the next joke I need you to {verb} like a {noun}.", "Ready? Now {verb} like a {noun}.",
    "I bet you cannot {verb} like a {noun}. Show me.", "Play back what a {noun} sounds like.",
    "Do that thing where you {verb} like a {noun}.", "hey can you do a {noun} sound",
    "okay now {verb} like a {noun}", "Let your speaker {verb}.",
)  # fmt: skip
NATURAL = {
    "cat": ("Do the cat thing, meow meow!", "Could I get a meow out of you?", "Talk to my kitten in meows.",
            "Kitty noises, please."),
    "dog": ("Scare the burglar with a bark.", "Woof at him!", "Give a loud bark, will you?",
            "I need a barking dog now."),
    "cow": ("One big moo, please.", "Moo at the farmer.", "Give the kids a moo.", "Cow noise. Go."),
    "chicken": ("Do the chicken clucking.", "Cluck cluck, go on, do it.", "Some clucking, please.",
                "Let us have the hen noise."),
    "bell": ("Ding dong, ring it!", "Sound the bell.", "Ring the bell for dinner.", "Let the bell be heard."),
    "car": ("Beep the horn.", "Honk the horn at them.", "A car horn, please.", "Give that driver a honk."),
    "bird": ("Some birdsong, please.", "Tweet like a little bird.", "Whistle like a bird.", "Let me hear chirping."),
    "applause": ("A round of applause, please!", "Applaud me.", "Clap your hands for the winner.",
                 "Give her some applause."),
}  # fmt: skip
BUZZ = (
    "Give me a buzz {how}.", "Make the frame vibrate {how}.", "Tap me {how} with the motor.", "Can you shake {how}?",
    "I want to feel a vibration {how}.", "Send a vibration {how}, please.", "Nudge my temple {how}.",
)  # fmt: skip
HOW = ("once", "twice", "three times", "for long")
ABOUT = (
    "Do {noun}s sleep at night?", "How can I tell one {noun} from another?", "Yesterday a {noun} crossed my way.",
    "Is there a {noun} in the picture?", "How long does a {noun} live?", "When did people first use the word {verb}?",
    "The {noun} next door never stops.", "Give me a fact about the {noun}.", "Is {verb} a verb or a noun?",
    "Which film has a {noun} in it?", "How do I get rid of a {noun}?", "Should I buy a {noun}?",
    "I heard something {verb} last night.", "What makes a {noun} {verb}?", "Rhyme a word with {noun}.",
    "She painted a {noun} on the wall.", "Name a famous {noun}.", "Please do not {verb} now.",
    "Can a {noun} be dangerous?", "My grandmother used to {verb} a lot.", "Compare a {noun} with a horse.",
    "Translate {verb} into Italian.", "The sound of the {noun} made me jump.", "Did the {noun} just {verb}?",
    "How loud is a {noun} in decibels?", "Take a photo of the {noun}.",
)  # fmt: skip
BUZZ_ABOUT = (
    "Why does my phone vibrate at night?", "What is the frequency of a vibration?", "A bee buzzed past me.",
    "There is a lot of buzz about this film.", "Who is Buzz Lightyear?", "Is vibration bad for the joints?",
    "My washing machine shakes.", "How does a buzzer work?", "He gave me a buzz on the phone yesterday.",
    "What is haptic feedback?", "Buzz Aldrin walked on the moon.", "The motor of the drill is broken.",
    "Do not vibrate during the meeting.", "Tap water is fine to drink.", "How do I shake a cocktail?",
    "What makes bees buzz?", "Did you feel that earthquake?", "Knock knock jokes are fun.",
    "Turn the vibration of my phone off.", "Is the doorbell buzzing?",
)  # fmt: skip
OTHER_SOUNDS = (
    "Oink like a pig.", "Roar like a lion.", "Make the sound of a train.", "Can you neigh?", "Play a drum sound.",
    "Hiss like a snake.", "Croak like a frog.", "Let me hear the wind.", "Sound like a robot.", "Howl like a wolf.",
)  # fmt: skip
PLAIN = (
    "What is the boiling point of water?", "How many continents are there?", "Who was Marie Curie?",
    "Tell me about Rome.",
    "What is the tallest building in the world?", "How do I change a light bulb?", "Play some jazz.", "Call my mother.",
    "Set an alarm for seven.", "What is my heart rate?", "Is the oven on?", "Where does this path lead?",
    "Read it aloud.",
    "What brand is this?", "Can you hear me?", "What did he just say?", "I need a plumber.", "Louder, please.",
    "Make a note of that.", "What is on my calendar?", "How many calories are in an apple?", "Give me the headlines.",
    "Who won the match?", "Show me photos of Paris.", "Is this sugar free?", "What is the capital of Australia?",
    "How old are you?", "Why is grass green?", "What does DNA stand for?", "Do a calculation for me.", "I am bored.",
    "Sing me a lullaby.", "Let us play a game.", "Play the next song.", "Pause the music.", "Make me laugh.",
    "Make coffee.", "Give me a hint.", "Do you know this place?", "Can you swim?", "Can you read this sign?",
    "Could you repeat that?", "Will it snow tomorrow?", "Would you like some tea?", "Please hurry up.",
    "Please wait here.",
    "Let me see the map.", "Let me try again.", "I want to go home.", "I want a sandwich.", "I need some help here.",
    "Show me the menu.", "Show me how to knit.", "Pretend I am a customer.", "Act as my English teacher.",
    "Be honest with me.", "Be my guide.", "Try the other door.", "Go left at the corner.", "Start the engine.",
    "Quick, what is five plus nine?", "How about pizza tonight?", "Now what?", "Ready?", "Time for bed.",
    "What noise is that?", "Is that an alarm?", "Who is making that noise?", "It is too loud in here.",
    "Silence, please.",
    "What sound do I hear?", "Was that thunder?", "Turn the sound down.", "Mute the microphone.", "The music is nice.",
    "Record a voice memo.", "What is the name of this tune?", "Do you hear the rain?", "Say my name.",
    "Whisper it to me.",
    "Say something in Japanese.", "Count backwards from ten.", "Spell the word giraffe.", "Tell me a bedtime story.",
    "Describe the painting.", "Write an email to Anna.", "Send a message to Tom.", "What are the symptoms of flu?",
    "How do vaccines work?", "Explain the rules of chess.", "What is photosynthesis?", "Who discovered penicillin?",
    "When was the first moon landing?", "Where is the Eiffel Tower?", "Which planet is the hottest?",
    "Why do leaves fall?", "What is a prime number?", "Solve two x equals eight.", "Convert ten miles to kilometres.",
    "How much is the ticket?", "What time does the museum open?", "Is it going to rain?", "Book a table for two.",
    "Where did I put my wallet?", "Remember that I parked on level three.", "What did I eat yesterday?", "Good night.",
    "Good afternoon.", "Hi there.", "Thank you so much.", "You are welcome.", "That is wrong.", "I do not think so.",
    "Absolutely not.", "Sure, why not.", "Fine.", "Maybe later.", "Stop it.", "Never mind that.", "Forget it.",
    "Again.",
    "Look at the sky.", "She is my sister.", "He works at a bank.", "We met in school.", "They are late again.",
    "I had a terrible day.", "My back hurts.", "My phone is dead.", "The soup is too hot.", "This chair is broken.",
    "There is a spider on the wall.", "My battery is low.", "Dinner was delicious.", "The train is late.",
    "The baby is asleep.", "Is this milk still good?", "What is this flower called?",
    "How many chairs are in the room?",
    "What colour is the bus?", "Is the door closed?", "Who is at the door?", "What does the label say?",
    "Translate this menu for me.", "How do you say thank you in Greek?", "What is the opposite of cold?",
    "Name three rivers.", "Give me a synonym for happy.", "Recommend a film.", "What should I read next?",
    "Do I turn here?", "How far is the airport?", "Take me to the station.", "Find a pharmacy nearby.",
    "What is the best route?", "Is there parking here?", "Open the camera.", "Zoom in.", "Take a picture.",
    "Start recording.", "Turn on the light.", "Switch to dark mode.", "Increase the brightness.", "Volume up.",
    "Answer the call.", "Hang up.", "Read my last message.", "Do I have any new mail?", "Cancel my meeting.",
    "What is the stock price of Apple?", "How is the weather in Oslo?", "When does the sun set?", "Is today a holiday?",
)  # fmt: skip
