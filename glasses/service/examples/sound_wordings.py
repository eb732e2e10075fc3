"""Ways to ask for a sound, and to talk of its thing without wanting to hear it. Data only.

`*_HELD_OUT` were looked at while the margins of the training were chosen. `*_FRESH` were written after that: 35 of 48
called right, so the second half of `ASKED` was added, without a look at which ones. `*_LAST` were written before that
training and measured once, after it.
"""

from __future__ import annotations

ASKED = (
    "{Verb} like a {noun}.", "Make the sound of a {noun}.", "Play a {noun} sound.", "Can you {verb}?",
    "Do a {noun} for me.", "Let me hear a {noun}.", "I want to hear a {noun} {verb}.", "Please {verb} like a {noun}!",
    "Show me how a {noun} sounds.", "Be a {noun}.", "{Verb} for me, please.", "Now do the {noun}.",
    "I would love to hear you {verb}.", "Try to {verb} like a {noun}.", "Pretend to be a {noun}.", "Go {verb}!",
    "How about a {noun} sound?", "Let us hear the {noun}.", "{Verb} the way a {noun} does.", "Could you {verb} now?",
    "Play me something like a {noun}.", "I need the sound of a {noun} now.", "Make like a {noun}.", "A {noun}, please!",
    "Can you do the noise of a {noun}?", "Produce a {noun} sound for the kids.", "Act like a {noun} and {verb}.",
    "Let it {verb}.", "My child wants to hear a {noun}.", "Will you {verb} once?", "Sound effect: {noun}.",
    "Show us your {noun} voice.", "Start to {verb}.", "I dare you to {verb} like a {noun}.", "{Noun} sound, please.",
    "Quick, the sound of a {noun}!",
)  # fmt: skip
ASKED_HELD_OUT = (
    "Could you make a noise like a {noun}?",
    "{Verb}!",
    "Give me the sound a {noun} makes.",
    "Sound like a {noun}.",
)
OTHER = (
    "What sound does a {noun} make?", "Tell me about the {noun}.", "How do you spell {verb}?", "What is a {noun}?",
    "Where can I see a {noun}?", "Why does a {noun} {verb}?", "I saw a {noun} today.", "Is a {noun} expensive?",
    "Explain what a {noun} is.", "Write a story about a {noun}.", "How old is the {noun}?", "The {noun} was loud.",
    "Can you draw a {noun}?", "Is that a {noun}?", "Do you like the {noun}?", "What colour is the {noun}?",
    "My neighbour has a {noun}.", "Give me the plural of {noun}.", "How much does a {noun} weigh?", "Find the {noun}.",
)  # fmt: skip
OTHER_HELD_OUT = ("Describe a {noun}.", "What does it mean to {verb}?", "My {noun} is old.", "Who invented the {noun}?")
PLAIN = (
    "What is the capital of France?", "How many days are in a week?", "Write a short poem.", "What time is it?",
    "What is two plus two?", "Thank you.", "Good morning!", "Translate hello into Spanish.", "Who are you?",
    "What colour is the sky?", "Repeat the words.", "What is in view?", "What is this sound?", "Name a planet.",
    "Tell me a story.", "Wait.", "Give me an example.", "Say hello.", "Go on.", "Show me the way home.", "Help me.",
    "Turn left.", "Be quiet.", "Make a list.", "Give me some advice.", "Sing a song.", "Her cat is nice.", "Yes.",
    "The car is new.", "My dog was hungry.", "What does barking mean?", "Read this to me.", "Never mind.", "No.",
)  # fmt: skip
PLAIN_HELD_OUT = (
    "What is the largest ocean?", "How do plants grow?", "Tell me a joke.", "What is the opposite of hot?",
    "Who wrote Hamlet?", "Spell the word house.", "What did I just hear?", "Give me a recipe for soup.", "Stop.",
    "How far is the moon?", "I am tired.", "What is your name?", "Say that again.", "Name three fruits.",
    "Where do penguins live?", "Good night.", "What is the time in London?", "Explain gravity.", "How are you?",
    "Which river is the longest?", "Call my brother.", "What should I cook?", "Is it raining?", "I lost my keys.",
    "Count to five.", "What year is it?", "Who is the president?", "Where am I?", "What does this sign say?",
    "Remind me to drink water.", "How tall is Everest?", "Do I need a coat?", "What is seven times eight?",
    "Who painted the Mona Lisa?", "Take a note.", "What language is that?", "Open the window.", "That was great.",
    "Why is the sea salty?", "Which way is north?", "Tell me something new.", "What is in my bag?", "Thanks a lot.",
    "How old is the universe?", "When does the train leave?", "What did she say?", "Summarise the article.",
    "What is a verb?", "Compare tea and coffee.", "Read the menu.", "I do not understand.", "Who are they?",
    "Translate this sign.", "How much is this?", "What is the weather like?", "Find my glasses.", "Are you sure?",
    "Say it in French.", "Is this safe to eat?", "Start a timer.", "What is her name?", "Look at this.",
    "Describe this picture.", "Who is speaking?", "What was that?", "Is anybody here?", "Hello there.", "Why?",
)  # fmt: skip

ASKED_FRESH = (
    "I'd like you to {verb} like a {noun}.", "Can I hear a {noun}?", "Do your best {noun} impression.",
    "Give us a {noun} noise.", "Imitate a {noun}.", "Would you please make a {noun} sound?",
)  # fmt: skip
OTHER_FRESH = (
    "Why is the {noun} so loud?", "There is a {noun} behind me.", "Do you have a {noun}?", "The {noun} woke me up.",
    "Who owns this {noun}?", "Was that a {noun}?", "How big is a {noun}?", "Is it normal to {verb}?",
)  # fmt: skip
PLAIN_FRESH = (
    "What is the capital of Japan?", "How many minutes are in an hour?", "Can you recommend a book?", "I am hungry.",
    "Where is the nearest station?", "What does this word mean?", "How do I boil an egg?", "Who discovered America?",
    "Please translate this.", "What is the square root of nine?", "Tell me the news.", "Is the shop still open?",
    "What is a galaxy?", "How long does it take to walk there?", "Remember this place.", "Which bus goes downtown?",
    "I think I am lost.", "Who is that man?", "What should I wear today?", "How do you say goodbye in German?",
    "What is on the table?", "Give me three ideas.", "Explain how rain forms.", "Do you understand me?", "Slow down.",
    "What is the longest word?", "When was the war?", "Make it shorter.", "What is your favourite colour?", "Maybe.",
    "Can you see the door?", "How deep is the sea?", "Tell me about your day.", "What do bees eat?", "Good evening.",
    "Why do people dream?", "What is a healthy breakfast?", "Add milk to the list.", "Cancel that.", "What is next?",
    "How heavy is gold?", "Is this the right way?", "Who is the author?", "What is the date today?", "Not now.",
    "Let me think.", "What is the difference between a lake and a pond?", "How do I fix a flat tyre?", "Wonderful.",
    "Where did I park?", "Is the light green?", "What floor are we on?", "Can you count backwards?", "Try again.",
    "What colour is her coat?", "How do magnets work?", "Write a haiku.", "What is inflation?", "Turn it off.",
    "What is the name of this street?", "How many people are here?", "Is he smiling?", "What is he holding?",
    "Give me directions.", "Do plants sleep?", "What is the fastest car?", "Say something nice.", "Excuse me.",
    "What time does it close?", "Is this seat taken?", "What is the password?", "How is the traffic?", "I agree.",
    "What is the moon made of?", "Who invented the telephone?", "What is a noun?", "Help me remember.", "See you.",
    "How do I tie a tie?", "What is for dinner?", "Did you hear that?", "What is that smell?", "Look over there.",
    "Where is my phone?", "Is the bridge safe?", "What is twelve times four?", "Who sings this song?", "Perfect.",
    "Why is the road wet?", "How cold is it?", "What is behind me?", "Read the label.", "Is it far?", "Be careful.",
    "Do you speak Italian?", "What did the sign say?", "Tell him I am late.", "What kind of tree is this?", "Sorry.",
)  # fmt: skip

ASKED_LAST = (
    "Mimic the sound of a {noun}.", "Be so kind and {verb}.", "What about some {noun} sounds?", "Go on, {verb} a bit.",
    "Surprise me with a {noun} noise.", "I want you to sound just like a {noun}.",
)  # fmt: skip
OTHER_LAST = (
    "Have you ever seen a {noun}?", "That {noun} belongs to my aunt.", "Why would anyone {verb}?", "Draw me a {noun}.",
    "The picture shows a {noun}.", "What is the French word for {noun}?", "I am afraid of the {noun}.",
    "Which {noun} is the best?",
)  # fmt: skip
